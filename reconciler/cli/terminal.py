r"""The printing edge: the one place where text reaches a terminal or a pipe, all of it made visible first.

Nothing is cut. A table that fits is a table; one that is wider than the terminal becomes records, a line a value, as
psql's `\x auto` does. In a pipe there is no width to fit. Colours are for what needs a look; NO_COLOR has none.
"""

import csv
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any, TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from reconciler.model.visible import visible

LOOK = "yellow"
"""The colour of what needs a look."""

BAD = "bold red"
"""The colour of what went wrong."""

_TOGETHER = 1000
"""So many rows of a table are laid out together: memory stays flat, however many there are."""


@dataclass(frozen=True)
class Row:
    """One row of a table: a cell a column, and the colour of all of them."""

    cells: Sequence[str]
    style: str = ""


@cache
def console(*, stderr: bool) -> Console:
    """Standard output or standard error, as Rich sees it; text is only text, no markup and no emoji."""
    return Console(stderr=stderr, highlight=False, soft_wrap=True, markup=False, emoji=False)


def can_show(text: str) -> bool:
    """Whether standard output's encoding has these characters; what it lacks would be escaped."""
    try:
        text.encode(sys.stdout.encoding)
    except (LookupError, UnicodeEncodeError):
        return False
    return True


def say(text: str, style: str = "", *, stderr: bool = False) -> None:
    """Print one line, of which no text makes two."""
    console(stderr=stderr).print(Text(visible(text), style))


def complain(text: str) -> None:
    """Tell a person on standard error what is wrong, in the command's name."""
    say(f"reconcile: {text}", stderr=True)


def heading(text: str) -> None:
    """Print a title above what follows."""
    say(text, "bold")


def facts(pairs: Iterable[tuple[str, str]]) -> None:
    """Print names and values, one line each."""
    found = list(pairs)
    width = max((cell_len(name) for name, _ in found), default=0)
    for name, value in found:
        console(stderr=False).print(Text(f"{name:<{width}}  {visible(value)}"))


def table(columns: Sequence[str], rows: Iterable[Row]) -> int:
    """Print rows under their columns' names.

    Args:
        columns: their names. One that ends in `>` holds numbers; one in `?` is left out where it is empty or 0 in all
            rows; one in `=` where it is the same in all.
        rows: a cell for each of them.

    Returns:
        How many rows there were.
    """
    printed, left = 0, iter(rows)
    while some := [Row([visible(cell) for cell in row.cells], row.style) for row in islice(left, _TOGETHER)]:
        _lay_out(columns, some)
        printed += len(some)
    return printed


def json_object(value: Mapping[str, Any]) -> None:
    """Print a program's one JSON object. JSON escapes by itself all but one control character."""
    print(_json(value))  # noqa: T201


def json_streamed(value: Mapping[str, Any]) -> None:
    """Print one JSON object as `json_object` does; what is an iterator in it is a list, printed value by value."""
    for part in _streamed(value):
        sys.stdout.write(part)
    sys.stdout.write("\n")


def json_list(name: str, values: Iterable[Mapping[str, Any]]) -> None:
    """Print one JSON object that holds a list, value by value: memory stays flat."""
    write, left = sys.stdout.write, iter(values)
    first = [_json(value) for value in islice(left, 1)]  # what fails does so before anything is printed
    write(f"{{{json.dumps(name)}: [{''.join(first)}")
    for value in left:
        write(f", {_json(value)}")
    write("]}\n")


def csv_rows(columns: Sequence[str], values: Iterable[Mapping[str, Any]], file: TextIO | None = None) -> None:
    """Print CSV with a header (RFC 4180), or write it to a file; what is not visible is escaped, not so in `--json`."""
    writer = csv.writer(file or sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    for value in values:
        writer.writerow([_cell(value[column]) for column in columns])


def _cell(value: object) -> object:
    return visible(value) if isinstance(value, str) else value


def _streamed(value: object) -> Iterator[str]:
    """The JSON of a value, part by part; an iterator is a list, and so is each in an object or a list."""
    match value:
        case Mapping():
            for number, (name, each) in enumerate(value.items()):
                yield f"{', ' if number else '{'}{_json(name)}: "
                yield from _streamed(each)
            yield "}" if value else "{}"
        case list() | Iterator():
            yield "["
            for number, each in enumerate(value):
                if number:
                    yield ", "
                yield from _streamed(each)
            yield "]"
        case _:
            yield _json(value)


def _json(value: object) -> str:
    return json.dumps(value).replace("\x7f", "\\u007f")


def _lay_out(columns: Sequence[str], rows: Sequence[Row]) -> None:
    said = [number for number, column in enumerate(columns) if _says_something(column, rows, number)]
    columns = [columns[number] for number in said]
    rows = [Row([row.cells[number] for number in said], row.style) for row in rows]
    names = [column.rstrip(">?=") for column in columns]
    widths = [max(map(cell_len, cells)) for cells in zip(names, *(row.cells for row in rows), strict=True)]
    out = console(stderr=False)
    if out.is_terminal and sum(widths) + 2 * (len(widths) - 1) > out.width:
        for line in _records(names, rows):
            out.print(line)
        return
    right = [">" in column for column in columns]
    for row in (Row(names, "bold"), *rows):
        cells = [_padded(*each) for each in zip(row.cells, widths, right, strict=True)]
        out.print(Text("  ".join(cells).rstrip(), row.style))


def _says_something(column: str, rows: Sequence[Row], number: int) -> bool:
    cells = {row.cells[number] for row in rows}
    return not (column.endswith("?") and cells <= {"", "0"}) and not (column.endswith("=") and len(cells) == 1)


def _records(names: Sequence[str], rows: Sequence[Row]) -> Iterator[Text]:
    width = max(map(cell_len, names))
    for row in rows:
        for name, cell in zip(names, row.cells, strict=True):
            if cell:
                yield Text(f"{name:<{width}}  {cell}", row.style)
        yield Text("")


def _padded(cell: str, width: int, right: bool) -> str:  # noqa: FBT001
    blank = " " * (width - cell_len(cell))
    return blank + cell if right else cell + blank
