"""The organization of an API key: an id that stays, its event store, and what it leaves to its billing entity."""

from tests.sandbox.conftest import Api


def organization(api: Api) -> dict[str, object]:
    shown: dict[str, object] = api.get("organizations").json()["organization"]
    return shown


def test_it_tells_its_settings(api: Api) -> None:
    told = organization(api)
    assert {name: told[name] for name in ("name", "timezone", "default_currency", "events_store")} == {
        "name": "Sandbox",
        "timezone": "UTC",
        "default_currency": "USD",
        "events_store": "postgres",
    }
    assert told["billing_configuration"] == {
        "invoice_footer": None,
        "invoice_grace_period": 0,
        "document_locale": "en",
    }


def test_it_tells_its_event_store(ch: Api) -> None:
    assert organization(ch)["events_store"] == "clickhouse"


def test_its_id_stays_whatever_changes(api: Api) -> None:
    before = organization(api)
    api.client.put("organizations", json={"organization": {"timezone": "Pacific/Fiji"}})
    changed = organization(api)
    assert (changed["timezone"], changed["lago_id"]) == ("Pacific/Fiji", before["lago_id"])
    api.lago.reset()
    assert organization(api) == before


def test_another_key_has_another_organization(api: Api) -> None:
    with Api(api.lago, "other-key") as other:
        assert organization(other)["lago_id"] != organization(api)["lago_id"]
