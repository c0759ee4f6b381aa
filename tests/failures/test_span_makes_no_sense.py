"""`--since` and `--until` that make no sense: exit 2, one sentence, and nothing is billed by mistake."""

import pytest

from reconciler.sandbox import Sandbox
from tests.conftest import Database
from tests.failures.conftest import PASSWORD, Fails
from tests.support import environment


def test_it_is_refused_and_nothing_is_billed(used_db: Database, lago: Sandbox, fails: Fails) -> None:
    refused = {
        ("--since", "2999-01-01"): "--since 2999-01-01T00:00:00Z is in the future",
        ("--since", "1d", "--until", "2d"): "leaves no window after 20",
        ("--until", "1d"): "--until needs --since",
    }
    for arguments, words in refused.items():
        assert words in fails(environment(used_db, lago), *arguments, code=2)
    assert used_db.fetch("SELECT 1 FROM reconciler.meter") == []
    assert lago.events() == []


@pytest.mark.parametrize("option", ["--since", "--until"])
def test_a_nonsense_time_is_refused_before_any_connection(lago: Sandbox, fails: Fails, option: str) -> None:
    nowhere = {"DATABASE_URL": f"postgresql://u:{PASSWORD}@127.0.0.1:1/x", "LAGO_API_BASE": lago.url}

    sentence = fails(nowhere, option, "yesterday-ish", code=2, meters=0)

    assert sentence.startswith("'yesterday-ish' is no date, time or age")
    assert "2026-11-23" in sentence
