"""What it means that Lago shows something else than was sent: a pure function."""

from decimal import Decimal

import pytest

from reconciler.verify import counting
from reconciler.verify.counting import Count, Metric, judge, judge_billed
from reconciler.verify.findings import Kind

SUM = {"aggregation_type": "sum_agg", "field_name": "response_cost"}
METRIC = Metric.read("llm", SUM)


def of(events: int) -> Count:
    return Count(events, Decimal(events) / 4)


@pytest.mark.parametrize(
    ("shown", "afresh", "settled", "kind"),
    [
        (5, 5, 5, None),
        (4, 4, 4, counting.BEHIND),
        (3, 5, 4, counting.STALE),  # though more is sent all the time
        (3, 3, 4, counting.LESS),
        (6, 5, 5, counting.OTHERS),
        (6, 6, 4, counting.MORE),
    ],
)
def test_of_five_events(shown: int, afresh: int, settled: int, kind: Kind | None) -> None:
    assert METRIC is not None
    assert judge(METRIC, of(5), of(shown), of(afresh), settled=settled) is kind


@pytest.mark.parametrize(
    ("billed", "status", "kind"),
    [
        (5, None, None),
        (4, "draft", counting.DRAFT),
        (4, "finalized", counting.BILLED_LESS),
        (6, "draft", counting.BILLED_MORE),
    ],
)
def test_of_five_events_of_a_period_that_has_ended(billed: int, status: str | None, kind: Kind | None) -> None:
    assert METRIC is not None
    assert judge_billed(METRIC, of(5), of(billed), status) is kind


@pytest.mark.parametrize(
    ("told", "unit"),
    [
        (SUM, "USD"),
        (SUM | {"field_name": "completion_tokens"}, "completion_tokens"),
        (SUM | {"rounding_function": "ceil"}, "events"),
        (SUM | {"expression": "event.properties.requests * 2"}, "events"),
        ({"aggregation_type": "count_agg", "field_name": None}, "events"),
        ({"aggregation_type": "unique_count_agg", "field_name": "model"}, "events"),
    ],
)
def test_what_can_be_compared_of_a_metric(told: dict[str, str | None], unit: str) -> None:
    metric = Metric.read("llm", told)
    assert metric is not None
    assert metric.unit == unit


@pytest.mark.parametrize("told", [SUM | {"field_name": "tokens"}, SUM | {"field_name": "model"}])
def test_a_metric_of_a_property_that_is_not_ours(told: dict[str, str]) -> None:
    assert Metric.read("llm", told) is None
