"""No table is cut: what does not fit the terminal is shown line by line, and a pipe has no width."""

import pytest

from reconciler.cli import terminal
from reconciler.cli.terminal import Row

ID = "r1_" + "8f64" * 16
ROWS = [Row((ID, "acme", "1,234.50"), terminal.LOOK), Row((ID, "株式会社 :smile: [red]", "0.07"))]


def printed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, **environ: str) -> str:
    """What a table looks like under these variables."""
    for name in ("COLUMNS", "NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    terminal.console.cache_clear()
    assert terminal.table(("id", "customer", "USD>"), ROWS) == 2
    terminal.console.cache_clear()
    return capsys.readouterr().out


def test_in_a_pipe_each_row_is_a_whole_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert printed(capsys, monkeypatch, COLUMNS="40").splitlines() == [
        f"{'id':67}  {'customer':22}  {'USD':>8}",
        f"{ID}  {'acme':22}  {'1,234.50':>8}",
        f"{ID}  株式会社 :smile: [red]  {'0.07':>8}",
    ]


def test_what_is_wider_than_the_terminal_is_shown_line_by_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    terminals = {"FORCE_COLOR": "1", "TERM": "xterm", "NO_COLOR": "1"}
    wide = printed(capsys, monkeypatch, COLUMNS="120", **terminals)
    assert len(wide.splitlines()) == 3
    narrow = printed(capsys, monkeypatch, COLUMNS="80", **terminals)
    assert f"id        {ID}\ncustomer  acme\nUSD       1,234.50\n\n" in narrow


def test_a_column_that_says_nothing_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    columns = ("customer", "meter=", "held>?", "quarantined>?")
    terminal.table(columns, [Row(("a", "default", "0", "1.00")), Row(("b", "default", "", "0"))])
    assert capsys.readouterr().out.split() == ["customer", "quarantined", "a", "1.00", "b", "0"]


def test_colours_are_for_what_needs_a_look_and_no_color_has_none(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    coloured = printed(capsys, monkeypatch, COLUMNS="80", FORCE_COLOR="1", TERM="xterm")
    assert f"\x1b[33mid        {ID}\x1b[0m" in coloured
    assert coloured.count("\x1b[33m") == 3, "one row of the two"
    assert "\x1b[33m" not in printed(capsys, monkeypatch, COLUMNS="80", FORCE_COLOR="1", TERM="xterm", NO_COLOR="1")
    assert "\x1b" not in printed(capsys, monkeypatch)


def test_programs_get_json_and_csv_without_a_control_character(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.json_list("found", ({"customer": name} for name in ("\x1b\x7f\x9b", "b")))
    terminal.csv_rows(("customer", "usd"), [{"usd": "1.5", "customer": '\x1b, "x"', "more": 1}])
    assert capsys.readouterr().out.splitlines() == [
        '{"found": [{"customer": "\\u001b\\u007f\\u009b"}, {"customer": "b"}]}',
        "customer,usd",
        '"\\x1b, ""x""",1.5',
    ]
