"""Whatever is billed, refused, lost and moved, in the end Lago counts each customer where the last move says."""

import random
from contextlib import suppress
from decimal import Decimal

import pytest

from reconciler.model.errors import ReconcileError
from tests.conftest import Database, spend_row
from tests.move.conftest import OTHER, Billing, Mapping, at, billing, counts, move
from tests.support import BATCH, let_minutes_pass, reconcile, states, used
from tests.verify.conftest import verify

__all__ = ["billing"]

SUBSCRIPTIONS = ("acme", "globex", "initech")
LONG = "m" * 2100
"""Events of so long a name go alone, and so each half of a pair."""

FAULTS = (
    {"kind": "status", "status": 500, "path": BATCH},
    {"kind": "status", "status": 401, "count": 2, "path": BATCH},
    {"kind": "drop", "path": BATCH},
    {"kind": "commit_then_drop", "path": BATCH},
)


@pytest.mark.proof
@pytest.mark.parametrize("seed", range(2))
def test_any_history_of_moves_ends_exact(
    seed: int, proxy_db: Database, billing: Billing, environ: dict[str, str], mapping: Mapping
) -> None:
    chance = random.Random(seed)
    for name in SUBSCRIPTIONS:
        billing.subscribe(name, made=at(9))
    for _ in range(15):
        match chance.choice(("rows", "rows", "map", "move", "move", "fault")):
            case "rows":
                proxy_db.insert(
                    *(
                        spend_row(
                            startTime=at(chance.randrange(3)),
                            spend=float(Decimal(chance.randrange(1, 10**6)) / 10**8),
                            model=chance.choice(("openai/gpt-4o-mini", OTHER, LONG)),
                            end_user=chance.choice(("acme", "initech")),
                        )
                        for _ in range(chance.randrange(1, 4))
                    )
                )
                with suppress(ReconcileError):
                    reconcile(environ, since="9d")
            case "map":
                mapping.write(acme=chance.choice(SUBSCRIPTIONS), initech=chance.choice(SUBSCRIPTIONS))
            case "move":
                with suppress(ReconcileError):  # of whom nothing is billed yet
                    move(environ, chance.choice(("acme", "initech")), chance.choice(SUBSCRIPTIONS))
            case "fault":
                billing.lago.faults(chance.choice(FAULTS))
    billing.lago.clear_faults()
    mapping.write(acme="globex", initech="acme")
    for _ in range(3):  # what was in doubt is settled by the first, and moved by the second
        let_minutes_pass(proxy_db)
        reconcile(environ, since="9d")
        for customer, to in (("acme", "globex"), ("initech", "acme")):
            with suppress(ReconcileError):
                move(environ, customer, to)
    reconcile(environ)
    assert set(states(proxy_db)) == {"accepted"}
    expected = used(proxy_db, subscription=lambda customer: {"acme": "globex", "initech": "acme"}[customer])
    assert counts(billing.lago) == expected
    assert verify(environ, since="9d").exit_code == 0
