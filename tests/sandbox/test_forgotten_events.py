"""Events that are deleted in Lago: gone from every answer, and their ids stay taken."""

import pytest

from reconciler.sandbox import Sandbox
from tests.sandbox.conftest import TAKEN, Api, event, invalid


def test_they_are_gone_and_their_ids_stay_taken(lago: Sandbox, api: Api) -> None:
    api.send(event("a"), event("b"), event("kept", code="other"))
    assert lago.forget("llm_cost") == 2
    assert (api.ids(), [one["transaction_id"] for one in lago.events()]) == (["kept"], ["kept"])
    assert api.get("events/a").json()["code"] == "event_not_found"
    assert [total["events"] for total in lago.totals()] == [1]
    assert api.send(event("a")).json() == invalid({"0": TAKEN})
    assert lago.forget("llm_cost") == 0


def test_those_of_another_organization_stay(lago: Sandbox, api: Api) -> None:
    with Api(lago, "other-key") as other:
        other.send(event())
        assert (lago.forget("llm_cost"), other.ids()) == (0, ["txn"])
        assert (lago.forget("llm_cost", "other-key"), other.ids()) == (1, [])


def test_no_event_is_deleted_in_clickhouse(clickhouse: Sandbox) -> None:
    with pytest.raises(ValueError, match="ClickHouse"):
        clickhouse.forget("llm_cost")
