"""With the required variables alone, everything else has the documented default."""

from datetime import timedelta

import pytest

from reconciler.settings.load import ChargeBy, Exclusion, MappingFile, MappingTable, load_settings


def test_the_defaults_are_the_design_s(enough: dict[str, str]) -> None:
    settings = load_settings(environ=enough)
    assert settings.source == settings.ledger
    assert settings.one_database
    assert settings.lago_api_base == "https://lago.example"
    assert settings.lago_api_key.get_secret_value() == "key-secret"
    assert (settings.settle, settings.lookback) == (timedelta(minutes=2), timedelta(hours=1))
    assert (settings.horizon, settings.interval) == (timedelta(days=35), timedelta(seconds=60))
    assert settings.statement_timeout == timedelta(seconds=60)
    assert (settings.rate, settings.http, settings.http_token) == (None, "127.0.0.1:9464", None)
    (meter,) = settings.meters
    assert meter.model_dump() == {
        "name": "default",
        "event_code": "openai_tokens",
        "charge_by": ChargeBy.END_USER,
        "window": timedelta(minutes=15),
        "subscription": "{id}",
        "mapping": None,
        "model_column": "model",
        "cache_hits": True,
        "exclude": (),
        "properties": "documented",
        "precise_cents": False,
        "closed_period": "hold",
        "event_field": "external_subscription_id",
    }


def test_every_variable_is_read(enough: dict[str, str]) -> None:
    settings = load_settings(
        environ=enough
        | {
            "LAGO_API_CHARGE_BY": "team_id",
            "RECONCILE_METER": "proxy-eu_1.2",
            "RECONCILE_LEDGER_URL": "postgresql://r@ledger/r",
            "RECONCILE_WINDOW": "1h",
            "RECONCILE_SETTLE": "0s",
            "RECONCILE_LOOKBACK": "2h",
            "RECONCILE_HORIZON": "7d",
            "RECONCILE_INTERVAL": "5m",
            "RECONCILE_SUBSCRIPTION": "litellm-{id}",
            "RECONCILE_MAPPING": "table:billing.Subscriptions",
            "RECONCILE_MODEL_COLUMN": "model_group",
            "RECONCILE_CACHE_HITS": "no",
            "RECONCILE_EXCLUDE": "team:internal, key:litellm-internal-health-check,model:byok/*,user:a:b,",
            "RECONCILE_PROPERTIES": "both",
            "RECONCILE_PRECISE_CENTS": "True",
            "RECONCILE_CLOSED_PERIOD": "move",
            "RECONCILE_EVENT_FIELD": "external_customer_id",
            "RECONCILE_RATE": "2.5",
            "RECONCILE_STATEMENT_TIMEOUT": "30s",
            "RECONCILE_HTTP": "[::]:80",
            "RECONCILE_HTTP_TOKEN": "token-secret",
        }
    )
    assert not settings.one_database
    assert settings.ledger.display == "postgresql://r@ledger/r"
    assert (settings.settle, settings.lookback) == (timedelta(0), timedelta(hours=2))
    assert (settings.horizon, settings.interval) == (timedelta(days=7), timedelta(minutes=5))
    assert settings.statement_timeout == timedelta(seconds=30)
    assert (settings.rate, settings.http) == (2.5, "[::]:80")
    assert settings.http_token
    assert settings.http_token.get_secret_value() == "token-secret"
    (meter,) = settings.meters
    assert meter.model_dump() == {
        "name": "proxy-eu_1.2",
        "event_code": "openai_tokens",
        "charge_by": ChargeBy.TEAM,
        "window": timedelta(hours=1),
        "subscription": "litellm-{id}",
        "mapping": MappingTable("billing", "Subscriptions"),
        "model_column": "model_group",
        "cache_hits": False,
        "exclude": (
            Exclusion("team", "internal"),
            Exclusion("key", "litellm-internal-health-check"),
            Exclusion("model", "byok/*"),
            Exclusion("user", "a:b"),
        ),
        "properties": "both",
        "precise_cents": True,
        "closed_period": "move",
        "event_field": "external_customer_id",
    }


@pytest.mark.parametrize(
    ("charge_by", "column"), [("end_user_id", "end_user"), ("user_id", "user"), ("team_id", "team_id")]
)
def test_charge_by_knows_its_column(charge_by: str, column: str) -> None:
    assert ChargeBy(charge_by).column == column


def test_a_mapping_may_be_a_file(enough: dict[str, str]) -> None:
    (meter,) = load_settings(environ=enough | {"RECONCILE_MAPPING": "customers.csv"}).meters
    assert isinstance(meter.mapping, MappingFile)
    assert meter.mapping.path.name == "customers.csv"


@pytest.mark.parametrize(
    ("base", "normal"),
    [
        ("http://lago:3000", "http://lago:3000"),
        ("https://api.getlago.com/", "https://api.getlago.com"),
        ("https://api.eu.getlago.com/api/v1", "https://api.eu.getlago.com"),
        (" https://host/lago/api/v1/ ", "https://host/lago"),
    ],
)
def test_the_base_is_normalized(enough: dict[str, str], base: str, normal: str) -> None:
    assert load_settings(environ=enough | {"LAGO_API_BASE": base}).lago_api_base == normal


def test_the_same_database_named_twice_is_one(enough: dict[str, str]) -> None:
    ledger = "postgres://litellm:db-secret@db:5432/litellm?pgbouncer=true"
    assert load_settings(environ=enough | {"RECONCILE_LEDGER_URL": ledger}).one_database


def test_lago_may_be_left_out_where_it_is_not_needed() -> None:
    settings = load_settings(environ={"DATABASE_URL": "postgresql://db/x"}, require_lago=False)
    assert (settings.lago_api_base, settings.lago_api_key.get_secret_value()) == ("", "")
    assert [(meter.name, meter.event_code) for meter in settings.meters] == [("default", "")]
