"""Whether Lago will still bill an event, as a table: the event's moment, its subscriptions, their invoices."""

from datetime import UTC, datetime

import pytest

from reconciler.delivery.spans import Billed, Subscription, Verdict, first_sure_stamp, is_present, judge


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-{text}").replace(tzinfo=UTC)


def active(
    started: str, *, created: str | None = None, period: str = "11-01", ends: str = "11-30T23:59:59"
) -> Subscription:
    return Subscription(at(created or started), at(started), None, at(period), at(ends))


def ended(started: str, end: str, *, created: str | None = None, billed: bool = True) -> Subscription:
    return Subscription(at(created or started), at(started), at(end), end_is_billed=billed)


def billed(since: str, until: str, status: str | None = "finalized") -> Billed:
    return Billed(at(since), at(until), status, "ABC-001")


MONTHLY = active("08-01", created="07-20")
OLD, NEW = ended("08-01", "11-15T11:51:26"), active("11-15T11:51:26.878", period="11-15T11:51:26")
OCTOBER = "10-01", "10-31T23:59:59"
CLOSED = "its billing period is closed: invoice ABC-001 of 2026-{} is finalized"
ENDED = "its subscription ended 2026-11-15 11:51 UTC and no invoice will come"
BEFORE = "usage before its subscription began (2026-{} UTC): made later, so that no invoice covers it"
DATED_BACK = "usage before its subscription was made (2026-{} UTC): dated back, so that no invoice covers it"
LATER_BILLED = "a later period has its invoice, so that no invoice of this one will come"


@pytest.mark.parametrize(
    ("moment", "subscriptions", "invoices"),
    [
        pytest.param("11-10", [], [], id="no subscription: it counts once there is one"),
        pytest.param("11-01T00:00:00", [MONTHLY], [], id="the first moment of the present period"),
        pytest.param("11-10", [active("08-01", period="08-01")], [], id="a first period"),
        pytest.param("11-15T11:51:26.878", [OLD, NEW], [], id="the first moment of an upgrade's new one"),
        pytest.param("11-15T11:51:59.999", [NEW, OLD], [billed("11-01", "11-15T11:51:26")], id="after an upgrade"),
        pytest.param("10-31T23:59:59.999", [MONTHLY], [], id="last month, the biller is late"),
        pytest.param("10-31T23:59:59.999", [MONTHLY], [billed(*OCTOBER, "draft")], id="last month, a draft"),
        pytest.param("10-31T23:59:59.999", [MONTHLY], None, id="last month, invoices can't be read"),
        pytest.param("10-10", [active("08-01", created="10-20")], [], id="dated back, made in that period"),
        pytest.param("11-15T11:51:26.500", [OLD, NEW], [], id="between a hidden end and the next begin"),
        pytest.param("11-15T11:44:59.999", [OLD, NEW], [], id="an upgrade, its invoice is not made yet"),
        pytest.param("11-15T11:44:59.999", [OLD], [], id="an end, its invoice is not made yet"),
        pytest.param("11-15T11:44:59.999", [OLD, NEW], [billed("11-01", "11-15T11:51:26", "draft")], id="grace"),
        pytest.param(
            "11-15T11:44:59.999",
            [ended("08-01", "11-15T11:51:26", billed=False), NEW],
            [],
            id="an upgrade is billed whatever was said of the end",
        ),
    ],
)
def test_it_goes(moment: str, subscriptions: list[Subscription], invoices: list[Billed] | None) -> None:
    assert judge(at(moment), subscriptions, invoices) == Verdict(goes=True)


@pytest.mark.parametrize(
    ("moment", "subscriptions", "invoices", "words", "final"),
    [
        pytest.param(
            "10-31T23:59:59.999", [MONTHLY], [billed(*OCTOBER)], CLOSED.format("10-31"), True, id="last month"
        ),
        pytest.param(
            "11-15T11:44:59.999",
            [OLD, NEW],
            [billed("11-01", "11-15T11:51:26"), billed(*OCTOBER)],
            CLOSED.format("11-15"),
            True,
            id="upgraded a minute after the window",
        ),
        pytest.param(
            "11-15T11:44:59.999", [OLD], [billed("11-01", "11-15T11:51:26")], CLOSED.format("11-15"), True, id="ended"
        ),
        pytest.param("11-15T11:59:59.999", [OLD], [], ENDED, False, id="after its end"),
        pytest.param(
            "11-15T11:44:59.999",
            [ended("08-01", "11-15T11:51:26", billed=False)],
            [],
            ENDED,
            False,
            id="its end is not billed",
        ),
        pytest.param(
            "11-15T11:44:59.999", [active("11-20T10:00:00")], [], BEFORE.format("11-20 10:00"), False, id="made later"
        ),
        pytest.param(
            "10-10",
            [active("08-01", created="11-20T09:30:00")],
            [],
            DATED_BACK.format("11-20 09:30"),
            False,
            id="made today and dated back",
        ),
        pytest.param(
            "09-10", [active("08-01", created="10-20")], [], DATED_BACK.format("10-20 00:00"), False, id="two back"
        ),
        pytest.param("09-10", [MONTHLY], [billed(*OCTOBER)], LATER_BILLED, False, id="a period that was left out"),
        pytest.param(
            "10-10",
            [MONTHLY],
            [billed(*OCTOBER, None)],
            "its billing period is closed: it has an invoice, which Lago does not show",
            False,
            id="an invoice that is not shown",
        ),
    ],
)
def test_it_is_held(
    moment: str, subscriptions: list[Subscription], invoices: list[Billed], words: str, final: bool
) -> None:
    assert judge(at(moment), subscriptions, invoices) == Verdict(goes=False, words=words, final=final)


@pytest.mark.parametrize(
    ("started", "period", "moved"),
    [
        ("08-01", "11-01T00:00:00", "11-01T00:00:00"),
        ("11-15T11:51:26.878", "11-15T11:51:26", "11-15T11:51:27"),
        ("11-15T11:51:26.250", "11-15T11:51:26", "11-15T11:51:26.500"),
        ("11-15T11:51:26.999", "11-15T11:51:26", "11-15T11:51:27"),
        ("11-15T00:00:00", "11-15T00:00:00", "11-15T00:00:00.250"),
    ],
)
def test_it_moves_to_the_first_moment_that_is_surely_in_the_present_period(
    started: str, period: str, moved: str
) -> None:
    subscriptions = [active(started, period=period), ended("08-01", "11-01T00:00:00")]
    stamp = first_sure_stamp(subscriptions)
    assert stamp == f"{at(moved).timestamp():.3f}"
    target = datetime.fromtimestamp(float(stamp), UTC)
    assert is_present(target, subscriptions)
    assert target.microsecond % 250_000 == 0, "Lagos before v1.48 keep a quarter of a second"


def test_there_is_no_such_moment_without_an_active_subscription() -> None:
    assert first_sure_stamp([OLD]) is None
