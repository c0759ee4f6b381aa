"""Usage that was billed to the wrong subscription is billed to the right one, to the last decimal."""

from decimal import Decimal

import pytest

from reconciler.model.identity import transaction_id
from tests.conftest import Database, spend_row
from tests.move.conftest import OTHER, REASON, Billing, Mapping, at, billing, counts, everything, fates, move
from tests.support import CODE, EVENTS, reconcile, states, used
from tests.verify.conftest import kinds, leg, verify

__all__ = ["billing"]


def test_lago_counts_all_of_it_under_the_new_subscription_and_nothing_under_the_old(
    proxy_db: Database, billing: Billing, environ: dict[str, str], mapping: Mapping
) -> None:
    for name in ("acme", "globex"):
        billing.subscribe(name, subscription_at=f"{at(12):%Y-%m-%dT00:00:00Z}", billing_time="anniversary")
    proxy_db.insert(
        spend_row(startTime=at(8), spend=1e-7),
        spend_row(startTime=at(8), spend=0, model="unpriced"),
        spend_row(startTime=at(1), spend=0.1, model=OTHER),
        spend_row(startTime=at(1), spend=0.2, model=OTHER),
        spend_row(startTime=at(1), spend=0.3, end_user="globex", model=OTHER),
    )
    reconcile(environ, since="9d")
    proxy_db.insert(spend_row(startTime=at(1), spend=0.7, model=OTHER))
    assert reconcile(environ, since="9d").delivered.accepted == 1
    assert {name for name, _ in counts(billing.lago)} == {"globex"}

    mapping.write(acme="acme", globex="globex")
    proxy_db.insert(spend_row(startTime=at(1), spend=0.04, model=OTHER))
    reconcile(environ, since="9d")
    found, made = move(environ)
    assert (fates(found), found.cost, made.planned, made.redirected) == ({"compensate": 4}, Decimal("1.0000001"), 6, 0)
    assert (found.doubts, found.warnings) == ([], [])
    done = reconcile(environ)
    assert (done.delivered.accepted, done.tally.events_planned, done.tally.frozen_buckets) == (6, 0, 0)

    assert counts(billing.lago) == used(proxy_db)
    assert (billing.current("acme"), billing.current("globex")) == (Decimal("1.04"), Decimal("0.3"))
    report = verify(environ, since="9d")
    assert (report.exit_code, [kinds(leg(report, name)) for name in "bcd"]) == (0, [{}, {}, {}])

    found, made = move(environ)
    assert (found.lines, made.planned) == ([], 0), "a second time there is nothing to move"


def test_what_moves_is_events_like_any_other_with_ids_of_the_next_revisions(
    proxy_db: Database, billing: Billing, environ: dict[str, str]
) -> None:
    billing.subscribe("acme", made=at(5))
    proxy_db.insert(spend_row(startTime=at(), spend=2.5e-6))
    reconcile(environ, since="2h")
    [before] = everything(proxy_db)
    move(environ)
    first, *pair = proxy_db.fetch(
        f"""SELECT revision, subscription, input_tokens, output_tokens, cost::text, requests, payload::jsonb,
                   window_start, decided_by IS NOT NULL, reason, state, batch
            FROM {EVENTS} ORDER BY revision"""
    )
    assert [row[:6] for row in (first, *pair)] == [
        (0, "globex", 10, 20, "0.0000025", 1),
        (1, "globex", -10, -20, "-0.0000025", -1),
        (2, "acme", 10, 20, "0.0000025", 1),
    ]
    assert before in everything(proxy_db), "nothing has changed of the event that is moved"
    for row in pair:
        payload, start = row[6], row[7]
        assert payload["transaction_id"] == transaction_id(
            "default", CODE, "end_user_id", start, 900, "acme", "openai/gpt-4o-mini", row[0]
        )
        assert (payload["external_subscription_id"], payload["timestamp"]) == (row[1], first[6]["timestamp"])
        assert row[8:11] == (True, REASON, "planned")
    assert pair[0][-1] == pair[1][-1], "both go in one request: Lago takes both or none"
    taken, billed = (row[6]["properties"] for row in pair)
    assert (taken["response_cost"], taken["input_tokens"], taken["requests"]) == ("-0.0000025", -10, -1)
    assert (billed["response_cost"], billed["revision"]) == ("0.0000025", 2)
    reconcile(environ)
    assert states(proxy_db) == {"accepted": 3}


@pytest.mark.proof
def test_it_moves_on_and_back(proxy_db: Database, billing: Billing, environ: dict[str, str]) -> None:
    for name in ("acme", "globex", "initech"):
        billing.subscribe(name, made=at(5))
    proxy_db.insert(spend_row(startTime=at(), spend=0.5), spend_row(startTime=at(), spend=0.25, model=OTHER))
    reconcile(environ, since="2h")
    for to in ("acme", "initech", "globex"):
        move(environ, to=to)
        reconcile(environ)
        assert {name for name, _ in counts(billing.lago)} == {to}
    move(environ, to="acme")
    move(environ, to="initech")  # before anything of that was sent
    reconcile(environ)
    assert counts(billing.lago) == {("initech", model): usage for (_, model), usage in used(proxy_db).items()}
    assert verify(environ, since="9d").exit_code == 0


@pytest.mark.proof
def test_only_the_windows_asked_for_are_moved_and_what_comes_late_follows_the_mapping(
    proxy_db: Database, billing: Billing, environ: dict[str, str]
) -> None:
    billing.subscribe("acme", made=at(9))
    proxy_db.insert(spend_row(startTime=at(3), spend=0.5), spend_row(startTime=at(1), spend=0.25))
    reconcile(environ, since="9d")
    found, _ = move(environ, since="4d", until="2d")
    assert [line.cost for line in found.lines] == [Decimal("0.5")]
    assert ["mend RECONCILE_MAPPING" in each for each in found.warnings] == [True], "the mapping still says globex"
    proxy_db.insert(spend_row(startTime=at(3), spend=2))
    reconcile(environ, since="9d")
    costs = {name: usage.cost for (name, _), usage in counts(billing.lago).items()}
    assert costs == {"acme": Decimal("0.5"), "globex": Decimal("2.25")}
    found, _ = move(environ, since="4d", until="2d")
    assert [line.cost for line in found.lines] == [2], "what came since is moved by another run, alone"
