"""A figure of many digits is exact, from the spend table to the program that reads it."""

from decimal import Decimal

from reconciler.sandbox import Sandbox
from tests.commands import run
from tests.conftest import Database, spend_row
from tests.process import only_object
from tests.support import environment


def test_a_figure_of_many_digits_is_exact_for_programs(proxy_db: Database, lago: Sandbox) -> None:
    # The column is a float to LiteLLM; a numeric one holds what no float does.
    proxy_db.fetch('ALTER TABLE "LiteLLM_SpendLogs" ALTER COLUMN spend TYPE numeric')
    large, small, exact = "12345678901234567890", "0.00000000000000000001", "12345678901234567890.00000000000000000001"
    for customer in ("acme", None):
        proxy_db.insert(*(spend_row(end_user=customer, spend=Decimal(each)) for each in (large, small)))
    environ = environment(proxy_db, lago)
    [done] = only_object(run(environ, "--since", "2h", "--json"))["meters"]
    assert (done["cost_planned"], done["unattributed_cost"], done["unsubscribed_cost"]) == (exact, exact, exact)
    [now] = only_object(run(environ, "status", "--json"))["meters"]
    assert (now["cost_accepted"], now["unattributed_cost"], now["days"][0]["cost"]) == (exact, exact, exact)
