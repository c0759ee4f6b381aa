"""Before a backfill: has LiteLLM's own callback billed these windows, or would windows after it be left out?"""

from datetime import UTC, datetime, timedelta
from typing import Self

from sqlalchemy import func, select

from reconciler.database.postgres import execute
from reconciler.lago.client import Lago
from reconciler.lago.questions import Thing
from reconciler.lago.shown import computed_by, is_callbacks, timestamp_of, uuid_of
from reconciler.ledger import tables
from reconciler.ledger.store import Ledger
from reconciler.model.errors import ReconcileError
from reconciler.model.windows import utc_text
from reconciler.settings.meter import MeterSettings

_INSTANT = timedelta(microseconds=1)


class NotCutOverError(ReconcileError):
    """A backfill does not begin where LiteLLM's callback has ended: requests would be billed twice, or not at all."""

    @classmethod
    def twice(cls, meter: str, event: Thing, moment: datetime) -> Self:
        """The callback has billed windows that are asked for, such as by this event, the newest."""
        return cls(
            f"LiteLLM's callback has billed windows that --since asks for: Lago holds its events, such as "
            f"{event['transaction_id']} of {moment:%Y-%m-%d %H:%M:%S} UTC. To bill these windows would bill "
            f"them twice, so nothing is billed of meter {meter!r}. Choose: run `reconcile cutover` first, which takes "
            "over what the callback has billed (docs/cutover.md); name a --since after the callback was turned off; "
            "or, if another proxy has sent them, give this meter its own LAGO_API_EVENT_CODE."
        )

    @classmethod
    def not_at_all(cls, since: datetime, until: datetime) -> Self:
        """What is asked for leaves out windows after the last cut-over."""
        return cls(
            f"The cut-over from LiteLLM's callback ended at {utc_text(since)}, and no pass has billed what was used "
            f"from then to {utc_text(until)}, which --since leaves out. Nothing is billed. Run `reconcile --since "
            f"{utc_text(since)}`, or with an earlier --since if the cut-over has named one."
        )


def see_gap(ledger: Ledger, wanted: MeterSettings, since: datetime) -> NotCutOverError | None:
    """Whether a backfill from `since` on leaves out windows after the last cut-over that no pass comes to by itself.

    Returns:
        What the pass is refused for; None if it leaves out nothing.
    """
    cutover, meter = tables.cutover.c, tables.meter.c
    with ledger.transaction() as connection:
        begun = select(meter.start).where(meter.name == wanted.name).scalar_subquery()
        both = select(func.max(cutover.until), begun).where(cutover.meter == wanted.name)
        ended, begins = connection.execute(both).one()
        if ended is None or begins is None or ended >= min(since, begins):
            return None
        values = {"meter": wanted.name, "since": ended, "until": min(since, begins), "length": wanted.window}
        left_out = execute(connection, "delivery/unseen_spans", values).fetchall()
    if not left_out:
        return None
    return NotCutOverError.not_at_all(left_out[0][0].astimezone(UTC), left_out[-1][1].astimezone(UTC))


def see_not_cut_over(
    lago: Lago, ledger: Ledger, wanted: MeterSettings, since: datetime, until: datetime
) -> NotCutOverError | None:
    """Ask Lago for the newest events of each part of a backfill that is new to the ledger: one page of them must do.

    Args:
        lago: who is asked.
        ledger: knows what passes have seen, and what was cut over.
        wanted: the meter's settings.
        since: the backfill's begin.
        until: its end, exclusive.

    Returns:
        What the pass is refused for; None if nothing is found.

    Raises:
        LagoError: Lago is away or refuses us.
    """
    values = {"meter": wanted.name, "since": since, "until": until, "length": wanted.window}
    with ledger.transaction() as connection:
        spans = execute(connection, "delivery/unseen_spans", values).fetchall()
    for begin, end in spans:
        page = next(lago.events(wanted.event_code, begin.astimezone(UTC), end.astimezone(UTC) - _INSTANT))
        sent = {id_: event for event in page.things if (id_ := uuid_of(event))}
        if not sent:
            continue
        computed = computed_by(lago.metric(wanted.event_code))
        judged = {id_ for (id_,) in ledger.once("delivery/judged", {"meter": wanted.name, "ids": list(sent)})}
        for id_, event in sent.items():
            if id_ not in judged and is_callbacks(event, computed) and (moment := timestamp_of(event)):
                return NotCutOverError.twice(wanted.name, event, moment.astimezone(UTC))
    return None
