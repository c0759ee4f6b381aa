"""What becomes of claimed events before anything is sent: some must not go, and of some Lago may know already."""

from collections.abc import Iterable
from datetime import datetime

from reconciler.delivery.claim import Claim
from reconciler.delivery.evidence import IN_VAIN
from reconciler.delivery.means import Means
from reconciler.delivery.unsendable import unsendable
from reconciler.model.errors import LagoAwayError


def vet(means: Means, claim: Claim) -> None:
    """Settle what needs not be sent; whatever the claim still holds may go.

    Raises:
        LagoError: Lago, which has to be asked about some, is away or refuses us.
        EndedError: the senders end.
    """
    claim.pause()
    _quarantine_unsendable(means, claim)
    _hold_or_move_late(means, claim)
    if not means.repeatable:
        _read_back(means, claim)


def _quarantine_unsendable(means: Means, claim: Claim) -> None:
    """Quarantine what Lago is known to choke on, unless a person has said that it goes all the same."""
    for event in claim.events:
        if not event.decided and (reason := unsendable(event, means.store)):
            claim.quarantine(event, f"not sent: {reason}")


def _hold_or_move_late(means: Means, claim: Claim) -> None:
    """Hold or move what comes too late for its billing period, as the settings say."""
    began = _closed(means, claim)
    there = _may_be_there(means, claim, began)
    claim.pause()
    for event in claim.of(id_ for id_ in began if id_ not in there):
        moment = began[event.transaction_id]
        if means.periods.rule == "move":
            claim.move(event, f"{moment.timestamp():.3f}")
        else:
            claim.hold(event, f"its billing period was closed: the present one began {moment:%Y-%m-%d %H:%M} UTC")


def _closed(means: Means, claim: Claim) -> dict[str, datetime]:
    """When the present billing period of each event began that comes too late for its own, by its id.

    An event whose subscription Lago can't be asked about, though it can about others, rests.
    """
    began: dict[str, datetime] = {}
    failed: list[str] = []
    told = 0
    late = [event for event in claim.events if means.periods.may_be_late(event)]
    for event in late:
        claim.pause()
        try:
            moment = means.periods.closed_before(event)
        except LagoAwayError as error:
            failed.append(event.transaction_id)
            claim.note([event], str(error))
            if not told and len(failed) == min(IN_VAIN, len(late)):
                raise
        else:
            told += 1
            if moment is not None:
                began[event.transaction_id] = moment
    for event in claim.of(failed):
        claim.rest(event, event.suspected + 1)
    return began


def _may_be_there(means: Means, claim: Claim, ids: Iterable[str]) -> set[str]:
    """Of what was sent before, in time and without an answer, what may be in Lago: only Lago knows."""
    there, asked = set(), []
    for event in claim.of(ids):
        if event.open_since is None:
            continue
        if means.store != "postgres" and event.claimed_at - event.open_since < means.visible_after:
            # It may not be visible yet; the same bytes count once, with another timestamp they would not.
            there.add(event.transaction_id)
        else:
            asked.append(event)
    for event, (verdict, _) in zip(asked, means.readback.verdicts(asked, claim.pause), strict=True):
        if verdict != "missing":
            there.add(event.transaction_id)
    return there


def _read_back(means: Means, claim: Claim) -> None:
    """Ask what became of open attempts; what is not there goes again."""
    claim.pause()
    waiting = [event for event in claim.events if event.open_since is not None]
    for event, (verdict, held) in zip(waiting, means.readback.verdicts(waiting, claim.pause), strict=True):
        if verdict == "equal":
            claim.accept([event])
        elif verdict == "conflict":
            claim.conflict(event, held)
