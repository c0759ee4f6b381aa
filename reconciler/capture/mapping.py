"""The operator's CSV file of subscriptions, read whole and checked as a file that people type by hand.

What could be meant in two ways is refused, with the file, the line and what to write instead: a wrong subscription is a
wrong bill, and Lago takes it without a word.
"""

import csv
import io
import stat
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from reconciler.model.errors import SettingsError

COLUMNS = ("customer", "subscription")
DELIMITERS = (",", ";", "\t")
"""A comma, or what spreadsheets write in its place in some countries."""

SHOWN = 3
"""So many faults are told at once."""

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_SAVE = "save it as CSV in UTF-8"


def read_mapping(path: Path) -> dict[str, str]:
    """Each customer's subscription, of a file that is as it was when it was last read, or else read anew.

    Raises:
        SettingsError: the file can't be read, or something in it is wrong; the sentence names the first faulty lines.
    """
    try:
        seen = path.stat()
        if not stat.S_ISREG(seen.st_mode):
            raise SettingsError(f"RECONCILE_MAPPING: {path} is not a file: name a CSV file, such as customers.csv.")
        return _read(path, (seen.st_ino, seen.st_size, seen.st_mtime_ns))
    except OSError as error:
        raise SettingsError(f"RECONCILE_MAPPING: {path} can't be read ({error.strerror}).") from None
    except ValueError as error:
        raise SettingsError(f"RECONCILE_MAPPING: {path}: {error}.") from None


@lru_cache(2)
def _read(path: Path, _version: object) -> dict[str, str]:
    found: dict[str, str] = {}
    lines: dict[str, int] = {}
    faults: list[str] = []
    for pair in _pairs(path.read_bytes(), faults):
        before = found.setdefault(pair.customer, pair.subscription)
        line = lines.setdefault(pair.customer, pair.line)
        if before != pair.subscription:
            faults.append(f"line {pair.line} gives the customer of line {line} another subscription: keep one of them")
    if faults:
        more = f"; and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        raise ValueError("; ".join(faults[:SHOWN]) + more)
    return found


class _Pair(NamedTuple):
    line: int
    customer: str
    subscription: str


class _Row(NamedTuple):
    line: int
    fields: list[str]
    text: str


def _pairs(content: bytes, faults: list[str]) -> Iterator[_Pair]:
    """What the lines say; what is wrong with one goes to the faults."""
    text = _decoded(content)
    delimiter, names = _header(text)
    customer, subscription = (names.index(column) for column in COLUMNS)
    rows = _rows(text, delimiter)
    next(rows)
    for row in rows:
        if not any(map(str.strip, row.fields)):
            continue  # a blank line
        if fault := _fault(row, names, delimiter) or _odd(row, customer, names) or _odd(row, subscription, names):
            faults.append(f"line {row.line} {fault}")
            continue
        yield _Pair(row.line, row.fields[customer], row.fields[subscription])


def _decoded(content: bytes) -> str:
    if content.startswith(_UTF_16):
        raise ValueError(f"it is in UTF-16: {_SAVE}")
    if (at := content.find(b"\0")) >= 0:
        raise ValueError(f"line {_line(content, at)} holds a NUL byte: {_SAVE}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"line {_line(error.object, error.start)} is not in UTF-8: {_SAVE}") from None


def _line(content: bytes, at: int) -> int:
    return content.count(b"\n", 0, at) + 1


def _header(text: str) -> tuple[str, list[str]]:
    """The delimiter, and the names of the fields."""
    for delimiter in DELIMITERS:
        row = None
        with suppress(ValueError):  # quotes that make sense with another delimiter
            row = next(_rows(text, delimiter), None)
        names = [name.strip().lower() for name in row.fields] if row else []
        if doubled := next((column for column in COLUMNS if names.count(column) > 1), None):
            raise ValueError(f"its header names {doubled} twice: keep one of them")
        if set(COLUMNS) <= set(names):
            return delimiter, names
    raise ValueError("it must begin with a header that names customer and subscription, such as customer,subscription")


def _rows(text: str, delimiter: str) -> Iterator[_Row]:
    """The rows, each with the number of its first line and its own text."""
    taken: list[str] = []

    def lines() -> Iterator[str]:
        for line in io.StringIO(text, newline=""):
            taken.append(line)
            yield line

    reader, first = csv.reader(lines(), delimiter=delimiter, strict=True), 1
    while True:
        taken.clear()
        try:
            fields = next(reader, None)
        except csv.Error as error:
            what = "has a quote that is never closed" if "unexpected end" in str(error) else f"can't be read ({error})"
            raise ValueError(f'line {first} {what}: write a name that holds a quote as "a ""quoted"" name"') from None
        if fields is None:
            return
        yield _Row(first, fields, "".join(taken))
        first = reader.line_num + 1


def _fault(row: _Row, names: list[str], delimiter: str) -> str | None:
    """What is wrong with a row as a whole."""
    if len(row.fields) != len(names):
        mark = {",": "a comma", ";": "a semicolon"}.get(delimiter, "a tab")
        what = f"has {len(row.fields)} field{'s' if len(row.fields) > 1 else ''} where the header has {len(names)}"
        return f'{what}: write a name that holds {mark} in quotes, such as "acme{delimiter} inc"'
    if names[0] in row.fields[0].lower() and [field.strip().lower() for field in row.fields] == names:
        return "is the header again: take it out"
    return None


def _odd(row: _Row, at: int, names: list[str]) -> str | None:
    """What is wrong with one of its fields."""
    field = row.fields[at]
    bare = field.strip()
    if not bare:
        return f"lacks a {names[at]}"
    if "\n" in field or "\r" in field:
        return "holds a line break within a name: is a quote missing?"
    if field != bare and '"' + field.replace('"', '""') + '"' not in row.text:
        return f"has a blank before or after its {names[at]}: take it out, or put the name in quotes with its blank"
    return None
