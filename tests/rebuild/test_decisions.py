"""Which of Lago's events a ledger once sent, and by which terms."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from reconciler.model.errors import MeterChangedError
from reconciler.model.identity import transaction_id
from reconciler.model.terms import BEGINNING, Terms, Timeline
from reconciler.verify.rebuild.decision import Taken, read
from reconciler.verify.rebuild.terms import Billed, agreements

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
PROPERTIES = {
    "input_tokens": 10, "output_tokens": 20, "model": "gpt", "response_cost": "0.0000135", "requests": 2,
    "customer": "acme", "meter": "default", "window": "2026-11-23T12:00:00Z/PT15M", "revision": 1,
}  # fmt: skip


def event(*, charge_by: str = "team_id", seconds: int = 900, **changed: Any) -> dict[str, Any]:
    """As Lago shows it; `changed` are properties, or None to leave one out."""
    properties = {name: value for name, value in (PROPERTIES | changed).items() if value is not None}
    fields = NOON, seconds, str(properties["customer"]), str(properties["model"]), 1
    return {
        "lago_id": None,
        "transaction_id": transaction_id("default", "tokens", charge_by, *fields),
        "external_subscription_id": "sub",
        "code": "tokens",
        "timestamp": "2026-11-23T12:14:59.999Z",
        "precise_total_amount_cents": "0.0",
        "properties": properties,
    }


def taken(shown: dict[str, Any]) -> Taken | None:
    return read(shown, "default", template="{id}")


def test_an_event_says_all_that_a_ledger_holds() -> None:
    found = taken(event())
    assert found is not None
    assert (found.window_start, found.window_seconds, found.revision) == (NOON, 900, 1)
    assert (found.code, found.charge_by, found.subscription) == ("tokens", "team_id", "sub")
    assert (found.input_tokens, found.output_tokens, found.requests) == (10, 20, 2)
    assert found.cost == Decimal("0.0000135")
    assert found.payload == (
        f'{{"transaction_id":"{event()["transaction_id"]}","external_subscription_id":"sub","code":"tokens",'
        '"timestamp":"1795436099.999","properties":{"input_tokens":10,"output_tokens":20,"model":"gpt",'
        '"response_cost":"0.0000135","requests":2,"customer":"acme","meter":"default",'
        '"window":"2026-11-23T12:00:00Z/PT15M","revision":1}}'
    )


def test_text_of_clickhouse_is_the_same_event() -> None:
    text: dict[str, Any] = {name: str(value) for name, value in PROPERTIES.items()}
    assert taken(event(**text)) == taken(event())


def test_the_callbacks_names_stay_what_they_are() -> None:
    names: dict[str, Any] = {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30}
    found = taken(event(input_tokens=None, output_tokens=None, **names))
    assert found is not None
    assert (found.input_tokens, found.output_tokens) == (10, 20)
    assert '"properties":{"prompt_tokens":10,"completion_tokens":20,"total_tokens":30,' in found.payload


def test_cents_that_lago_rounded_are_again_what_was_sent() -> None:
    shown = event(response_cost="0.00000000000000000123456789") | {"precise_total_amount_cents": "0.0"}
    assert "cents" not in getattr(taken(shown), "payload", "cents")
    shown = event(response_cost="1.00000000000000000123") | {"precise_total_amount_cents": "100.000000000000000"}
    assert '"precise_total_amount_cents":"100.000000000000000123"' in getattr(taken(shown), "payload", "")


def test_an_event_that_takes_usage_back_is_read() -> None:
    found = taken(event(input_tokens=-10, output_tokens=0, response_cost="-0.5", requests=-2))
    assert found is not None
    assert (found.input_tokens, found.cost, found.requests) == (-10, Decimal("-0.5"), -2)


@pytest.mark.parametrize(
    "changed",
    [
        {"customer": "globex"}, {"revision": 2}, {"window": "2026-11-23T12:15:00Z/PT15M"}, {"window": "noon"},
        {"window": "2026-11-23T12:00:00Z/PT900S"}, {"window": "2026-11-23T12:00:00Z/PT99999H"}, {"window": 7},
    ],
)  # fmt: skip
def test_an_id_that_does_not_follow_is_no_ledgers(changed: dict[str, Any]) -> None:
    shown = event()
    assert taken(shown | {"properties": shown["properties"] | changed}) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"response_cost": "1e-5"}, {"response_cost": None}, {"requests": "many"}, {"input_tokens": 1.5},
        {"prompt_tokens": 11}, {"output_tokens": -1}, {"requests": 2**63}, {"requests": True},
    ],
)  # fmt: skip
def test_measures_that_no_ledger_sends_are_not_taken(changed: dict[str, Any]) -> None:
    assert taken(event(**changed)) is None


@pytest.mark.parametrize("shown", [{"timestamp": "soon"}, {"code": None}, {"external_subscription_id": "\ud800"}])
def test_what_else_can_not_be_held_is_not_taken(shown: dict[str, Any]) -> None:
    assert taken(event() | shown) is None


QUARTER, HOUR = Billed(NOON, 900, "team_id", "tokens"), Billed(NOON, 3600, "team_id", "tokens")
WANTED = Terms("tokens", "team_id", 900, "model", cache_hits=True, exclude=())


def test_events_by_the_settings_need_no_other_terms() -> None:
    assert agreements(None, [], WANTED) == [(BEGINNING, WANTED)]
    assert agreements(None, [QUARTER], WANTED) == [(BEGINNING, WANTED)]
    assert agreements(Timeline([(BEGINNING, WANTED)]), [QUARTER], WANTED) == []


def test_earlier_terms_hold_as_long_as_events_show_them() -> None:
    found = agreements(None, [HOUR, QUARTER._replace(start=NOON + timedelta(hours=3))], WANTED)
    hours = Terms("tokens", "team_id", 3600, "model", cache_hits=True, exclude=())
    assert found == [(BEGINNING, hours), (NOON + timedelta(hours=3), WANTED)]
    assert agreements(None, [HOUR], WANTED) == [(BEGINNING, hours), (NOON + timedelta(hours=1), WANTED)]


def test_a_ledger_learns_the_terms_that_it_lacks() -> None:
    known = Timeline([(BEGINNING, WANTED)])
    later = HOUR._replace(start=NOON + timedelta(hours=1), charge_by="user_id")
    [(since, terms)] = agreements(known, [QUARTER, later], WANTED)
    assert (since, terms.window_seconds, terms.charge_by) == (NOON + timedelta(hours=1), 3600, "user_id")


@pytest.mark.parametrize("other", [HOUR, QUARTER._replace(charge_by="user_id"), QUARTER._replace(code="other")])
def test_windows_that_overlap_are_two_ledgers(other: Billed) -> None:
    with pytest.raises(MeterChangedError, match="two ledgers have billed by different settings"):
        agreements(None, [QUARTER, other], WANTED)
