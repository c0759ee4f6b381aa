"""`--help` tells of every command, and each command has its own."""

import pytest

from tests.commands import run

# Design, section 8: those that exist.
COMMANDS = [
    ("status",), ("serve",), ("alarm",), ("alarm", "list"), ("alarm", "ack"), ("ledger",), ("ledger", "upgrade"),
    ("demo",), ("sandbox",), ("customers",), ("customers", "list"), ("events",), ("events", "list"), ("events", "show"),
    ("held",), ("held", "list"), ("held", "release"), ("held", "discard"), ("quarantine",), ("quarantine", "list"),
    ("quarantine", "show"), ("quarantine", "retry"), ("quarantine", "discard"),
    ("frozen",), ("frozen", "list"), ("frozen", "accept"), ("frozen", "undo"), ("verify",),
]  # fmt: skip


def test_it_lists_every_command_and_option() -> None:
    finished = run({}, "--help")

    assert finished.returncode == 0
    assert finished.stderr == ""
    for word in ("--since", "--until", "--meter", "--dry-run", "--json", *{names[0] for names in COMMANDS}):
        assert word in finished.stdout
    for name in ("DATABASE_URL", "LAGO_API_BASE", "LAGO_API_KEY", "LAGO_API_EVENT_CODE", "LAGO_API_CHARGE_BY"):
        assert name in finished.stdout


@pytest.mark.parametrize("names", COMMANDS, ids=" ".join)
def test_each_command_has_help(names: tuple[str, ...]) -> None:
    finished = run({}, *names, "--help")

    assert finished.returncode == 0
    assert f"reconcile {' '.join(names)}" in finished.stdout
    assert len(finished.stdout.split()) > 12
    for noise in ("<bool>", "[default: no", "completion", "╭"):
        assert noise not in finished.stdout


@pytest.mark.parametrize("group", ["alarm", "customers", "events", "held", "quarantine", "frozen"])
def test_a_group_is_its_list_with_the_same_options(group: str) -> None:
    own, listed = (run({}, *words, "--help").stdout for words in ((group,), (group, "list")))
    assert listed.partition("Options:")[2] == own.partition("Options:")[2].partition("\nCommands:")[0]
    assert f"Usage: reconcile {group} [list] [OPTIONS] | COMMAND [ARGS]..." in own
    assert run({}, group, "--json").stderr == run({}, group, "list", "--json").stderr != ""

    misspelt = run({}, group, "lisst")
    assert misspelt.returncode == 2
    assert "No such command 'lisst'. Did you mean 'list'?" in misspelt.stderr


def test_an_option_of_a_list_before_another_command_is_refused() -> None:
    finished = run({}, "held", "--meter", "a", "release", "--all")
    assert finished.returncode == 2, "it would release what other meters hold"
    assert "held list" in finished.stderr


def test_an_unknown_option_is_usage() -> None:
    finished = run({}, "--sinse", "1d")

    assert finished.returncode == 2
    assert "--since" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_options_of_a_pass_before_another_command_are_refused() -> None:
    finished = run({}, "--since", "1d", "status")

    assert finished.returncode == 2
    assert "`status`" in finished.stderr
