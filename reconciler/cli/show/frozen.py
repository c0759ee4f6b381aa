"""Frozen buckets and credits, as people see them: exact amounts, since they are what is credited."""

from collections.abc import Sequence

from reconciler.cli import terminal
from reconciler.cli.terminal import Row
from reconciler.ledger.credit import Credit, Entry, FrozenBucket
from reconciler.model.money import plain, total
from reconciler.model.words import count, moment
from reconciler.passes.frozen import Found

_ENTRY = (
    "id", "meter=", "window (UTC)", "customer", "model?", "USD>", "input tokens>", "output tokens>", "requests>"
)  # fmt: skip


def found(listed: Found) -> None:
    """List what is frozen, and the credits on record."""
    if not listed.frozen:
        terminal.say("No bucket is frozen.")
    else:
        terminal.heading("Frozen: so much less in the source than was billed")
        _buckets(listed.frozen)
        terminal.say(
            f"{_sum(listed.frozen)}. Restore the rows; or credit it in Lago, and then "
            "`reconcile frozen accept ID… --reason TEXT`."
        )
    if listed.credits:
        terminal.heading("Credits on record")
        terminal.table(
            (*_ENTRY, "since (UTC)", "by", "why"),
            (Row((*_cells(each), moment(each.accepted_at), each.accepted_by, each.reason)) for each in listed.credits),
        )
        terminal.say(f"{_sum(listed.credits)}. `reconcile frozen undo ID… --reason TEXT` takes one back.")


def accepted(buckets: Sequence[FrozenBucket], *, dry_run: bool) -> None:
    """Say what was put on record, or would be."""
    _buckets(buckets)
    if dry_run:
        terminal.say(f"{_sum(buckets)} would be put on record as credited in Lago; nothing was done.")
    else:
        terminal.say(f"{_sum(buckets)} on record as credited in Lago. The next pass bills what is new in there.")


def undone(given: Sequence[Credit]) -> None:
    """Say what no longer counts."""
    terminal.say(
        f"{count(len(given), 'credit')} of {_usd(given)} undone. The next pass shows again as frozen what still holds "
        "less than was billed."
    )


def _buckets(buckets: Sequence[FrozenBucket]) -> None:
    terminal.table((*_ENTRY, "billed USD>", "in the source>", "accepted>"), map(_bucket, buckets))


def _bucket(bucket: FrozenBucket) -> Row:
    costs = map(plain, (bucket.billed_cost, bucket.source_cost, bucket.accepted_cost))
    return Row((*_cells(bucket), *costs), terminal.LOOK)


def _cells(entry: Entry) -> tuple[str, ...]:
    return (
        entry.id, entry.meter, moment(entry.window_start), entry.customer, entry.model, plain(entry.cost),
        f"{entry.input_tokens:,}", f"{entry.output_tokens:,}", f"{entry.requests:,}",
    )  # fmt: skip


def _sum(entries: Sequence[Entry]) -> str:
    return f"{count(len(entries), 'bucket')}, {_usd(entries)}"


def _usd(entries: Sequence[Entry]) -> str:
    return f"{plain(total(entry.cost for entry in entries))} USD"
