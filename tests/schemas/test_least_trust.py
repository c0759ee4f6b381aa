"""What the owner of the spend table plants beside it never writes the ledger as ours, and never changes a bill."""

from collections.abc import Callable
from typing import Any

import pytest

from reconciler.capture.bring import Bringer
from reconciler.model.errors import ReconcileError, SettingsError, SourceError
from reconciler.sandbox import Sandbox
from tests.conftest import Database, spend_row
from tests.support import assert_exact, counted, environment, reconcile

# A function that is IMMUTABLE, so that Postgres calls it where it plans, and that writes all the same.
PLANTED = """
CREATE TABLE public.trace (who text);
CREATE FUNCTION public.writes() RETURNS void VOLATILE LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.trace VALUES (current_user);
    UPDATE reconciler.batch SET state = 'discarded';
END $$;
CREATE FUNCTION public.evil(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
    PERFORM public.writes();
    RETURN $1;
END $$;
"""
A_VIEW = """
ALTER TABLE public."LiteLLM_SpendLogs" RENAME TO hidden;
CREATE VIEW public."LiteLLM_SpendLogs" AS SELECT * FROM public.hidden WHERE public.evil(1) = 1;
"""
CALLED_BY_PLANNING = {
    "index": 'CREATE INDEX planted ON public."LiteLLM_SpendLogs" ((public.evil(1)))',
    "partial index": 'CREATE INDEX planted ON public."LiteLLM_SpendLogs" (spend) WHERE public.evil(1) = 1',
    "statistics": 'CREATE STATISTICS planted ON (public.evil(1) + spend), spend FROM public."LiteLLM_SpendLogs"',
}


@pytest.fixture
def planted(proxy_db: Database, lago: Sandbox) -> Callable[[str], dict[str, str]]:
    """Bill a row, plant something, write another row; return the settings."""

    def plant(statement: str) -> dict[str, str]:
        environ = environment(proxy_db, lago)
        proxy_db.insert(spend_row())
        reconcile(environ, since="1d")
        proxy_db.insert(spend_row())
        proxy_db.fetch(PLANTED)
        proxy_db.fetch(statement)
        proxy_db.fetch("TRUNCATE public.trace")
        proxy_db.fetch("UPDATE reconciler.batch SET state = 'accepted'")
        return environ

    return plant


def _nothing_was_done(database: Database, lago: Sandbox) -> None:
    assert database.fetch("SELECT count(*) FROM public.trace") == [(0,)]
    assert database.fetch("SELECT state FROM reconciler.batch") == [("accepted",)]
    assert len(lago.events()) == 1


def test_only_a_table_is_read(proxy_db: Database, lago: Sandbox, planted: Callable[[str], dict[str, str]]) -> None:
    with pytest.raises(SourceError, match=r'"LiteLLM_SpendLogs" in schema "public" is a view\. Only a table is read'):
        reconcile(planted(A_VIEW))
    _nothing_was_done(proxy_db, lago)


def test_a_table_that_becomes_a_view_after_it_was_looked_at_is_not_read(
    proxy_db: Database,
    lago: Sandbox,
    planted: Callable[[str], dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    environ, totals = planted("SELECT"), Bringer.totals

    def swapped(*arguments: Any) -> Any:
        proxy_db.fetch(A_VIEW)
        return totals(*arguments)

    monkeypatch.setattr(Bringer, "totals", swapped)
    with pytest.raises(ReconcileError, match=r'access to non-system view "LiteLLM_SpendLogs" is restricted'):
        reconcile(environ)
    _nothing_was_done(proxy_db, lago)


@pytest.mark.parametrize("what", CALLED_BY_PLANNING)
def test_a_function_that_planning_calls_can_write_nothing(
    proxy_db: Database, lago: Sandbox, planted: Callable[[str], dict[str, str]], what: str
) -> None:
    with pytest.raises(
        ReconcileError,
        match=r"runs somebody's code, which tries to write .*function (public\.)?evil\(integer\) .* Nothing was",
    ):
        reconcile(planted(CALLED_BY_PLANNING[what]))
    _nothing_was_done(proxy_db, lago)


def test_types_of_the_owner_decide_nothing(
    proxy_db: Database, lago: Sandbox, planted: Callable[[str], dict[str, str]]
) -> None:
    environ = planted("""
        CREATE DOMAIN public.name AS text CHECK (VALUE <> '' AND public.evil(1) = 1);
        CREATE DOMAIN public.usd AS float8 CHECK (public.evil(1) = 1);
        ALTER TABLE "LiteLLM_SpendLogs" ALTER end_user TYPE public.name, ALTER model TYPE public.name,
                                        ALTER model DROP DEFAULT, ALTER spend TYPE public.usd""")
    proxy_db.insert(spend_row(end_user="globex"), spend_row(end_user=None))
    proxy_db.fetch("TRUNCATE public.trace")
    proxy_db.fetch("UPDATE reconciler.batch SET state = 'accepted'")

    assert reconcile(environ | {"RECONCILE_EXCLUDE": "customer:nobody*"}, adopt=True).delivered.accepted == 2

    assert proxy_db.fetch("SELECT count(*) FROM public.trace") == [(0,)]
    proxy_db.fetch('ALTER TABLE "LiteLLM_SpendLogs" ALTER end_user TYPE text, ALTER model TYPE text')
    assert_exact(proxy_db, lago)


@pytest.mark.proof
def test_names_are_told_apart_by_their_bytes_whatever_the_collation(proxy_db15: Database, lago: Sandbox) -> None:
    proxy_db15.fetch("""
        CREATE COLLATION blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
        ALTER TABLE "LiteLLM_SpendLogs" ALTER end_user TYPE text COLLATE blind;
        CREATE TABLE subs (customer text COLLATE blind, subscription text COLLATE blind);
        INSERT INTO subs VALUES ('acme', 'sub-1'), ('ACME', 'SUB-1'), ('Acme', 'sub-3')""")
    proxy_db15.insert(*(spend_row(end_user=customer) for customer in ("acme", "ACME", "Acme", "nobody")))
    environ = environment(proxy_db15, lago, RECONCILE_MAPPING="table:public.subs", RECONCILE_EXCLUDE="customer:nobody*")

    reconcile(environ, since="1d")

    assert {customer for customer, _ in counted(lago)} == {"sub-1", "SUB-1", "sub-3"}


def test_settings_that_a_planted_function_changes_are_put_back(
    proxy_db: Database, lago: Sandbox, planted: Callable[[str], dict[str, str]]
) -> None:
    environ = planted("""
        CREATE FUNCTION public.sha256(bytea) RETURNS bytea LANGUAGE sql AS $$ SELECT '\\x00'::bytea $$;
        CREATE FUNCTION public.settings(int) RETURNS int IMMUTABLE LANGUAGE sql
        AS $$ SELECT length(set_config('search_path', 'public, pg_catalog', true)
                            || set_config('bytea_output', 'escape', true)) $$;
        CREATE INDEX planted ON "LiteLLM_SpendLogs" ((public.settings(1)))""")

    assert reconcile(environ).delivered.accepted == 1

    proxy_db.fetch("DROP INDEX planted")  # it would fool this test's own reading
    assert_exact(proxy_db, lago)


def test_partitions_are_tables(proxy_db: Database, lago: Sandbox) -> None:
    proxy_db.fetch("""
        CREATE FOREIGN DATA WRAPPER far;
        CREATE SERVER far FOREIGN DATA WRAPPER far;
        CREATE FOREIGN TABLE public.cold () INHERITS (public."LiteLLM_SpendLogs") SERVER far""")
    with pytest.raises(SourceError, match=r"has the partition (public\.)?cold, which is no table but a foreign one"):
        reconcile(environment(proxy_db, lago))


def test_the_mapping_is_a_table(proxy_db: Database, lago: Sandbox) -> None:
    proxy_db.fetch("CREATE VIEW public.subs AS SELECT 'acme' AS customer, 'sub-1' AS subscription")
    environ = environment(proxy_db, lago, RECONCILE_MAPPING="table:public.subs")
    proxy_db.insert(spend_row())
    with pytest.raises(SettingsError, match=r"public\.subs in the ledger's database is a view, .* materialized view"):
        reconcile(environ, since="1d")

    proxy_db.fetch("DROP VIEW public.subs")
    proxy_db.fetch("CREATE MATERIALIZED VIEW public.subs AS SELECT 'acme' AS customer, 'sub-1' AS subscription")
    reconcile(environ, since="1d")
    assert_exact(proxy_db, lago, subscription=lambda _: "sub-1")
