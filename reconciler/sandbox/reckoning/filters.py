"""Which of a charge's events fall into which of its filters.

Lago counts an event in the most specific filter that it matches, and in a bucket without filter if it matches
none. It says so in SQL: the events that match a filter's values, less those of other filters that refine it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from reconciler.sandbox.grammar import property_text
from reconciler.sandbox.stores.store import Thing

ALL_VALUES = "__ALL_FILTER_VALUES__"
"""The filter value that stands for every value that the metric declares."""

Properties = Mapping[str, Any]
Values = dict[str, list[str]]


def bucket(charge: Thing, metric: Thing, chosen: Thing | None) -> Callable[[Properties], bool]:
    """Return whether an event's properties fall into a filter of the charge, or into none of them if it is None."""
    matching = _values(chosen, metric) if chosen else {}
    others = [one for one in charge["filters"] if one is not chosen]
    ignored = [
        values
        for other in others
        if _refines(other_values := _values(other, metric), matching)
        and (values := _to_ignore(charge["filters"], chosen, other, other_values, matching)) is not None
    ]

    def holds(properties: Properties) -> bool:
        return _matches(properties, matching) and not any(_matches(properties, values) for values in ignored)

    return holds


def most_specific(charge: Thing, properties: Properties) -> Thing | None:
    """Return the filter with the most keys among those that an event matches: whose cached usage it outdates."""
    matches = [
        one
        for one in charge["filters"]
        if all(
            key in properties and (values == [ALL_VALUES] or property_text(properties[key]) in values)
            for key, values in one["values"].items()
        )
    ]
    return max(matches, key=lambda one: len(one["values"]), default=None)


def _values(one: Thing, metric: Thing) -> Values:
    """Return a filter's values, with the metric's own for those that stand for all."""
    declared = {entry["key"]: entry["values"] for entry in metric["filters"]}
    return {key: declared.get(key, []) if values == [ALL_VALUES] else values for key, values in one["values"].items()}


def _matches(properties: Properties, values: Mapping[str, Sequence[str]]) -> bool:
    return all((property_text(properties.get(key)) or "") in wanted for key, wanted in values.items())


def _refines(child: Values, parent: Values) -> bool:
    """Tell whether some event can match both, as far as the parent's keys go."""
    return all(any(value in child.get(key, []) for value in values) for key, values in parent.items())


def _to_ignore(
    filters: Sequence[Thing], chosen: Thing | None, other: Thing, child: Values, parent: Values
) -> Values | None:
    """Return which of another filter's events are not the chosen one's, None if all of them still are.

    Of two filters with the same values the older counts. Of two that overlap in part each counts what
    both match, and the other is only kept from what is not the chosen one's.
    """
    if chosen is None or list(child) != list(parent):
        return child
    if all(sorted(values) == sorted(parent[key]) for key, values in child.items()):
        older = filters.index(other) < filters.index(chosen)
        return child if older else None
    if all(set(values) <= set(parent[key]) for key, values in child.items()):
        return child
    return {
        key: values
        if chosen["values"][key] == [ALL_VALUES]
        else [value for value in values if value not in parent[key]]
        for key, values in child.items()
    }
