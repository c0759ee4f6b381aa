"""The SQL of `sql/`, by name. The wheel carries the files; a checkout reads them from its top level."""

from functools import cache
from pathlib import Path

from psycopg import sql

_PACKAGE = Path(__file__).parent.parent
FOLDER = next(folder for folder in (_PACKAGE / "sql", _PACKAGE.parent / "sql") if folder.is_dir())


@cache
def statement(name: str) -> sql.SQL:
    """The statement in `sql/<name>.sql`, its comments left out.

    `%(name)s` marks a value, always a bound parameter; `{name}` marks an identifier or a fragment.
    """
    lines = (FOLDER / f"{name}.sql").read_text(encoding="utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.startswith("--"))
    # The text is part of this program, as a literal in the source would be.
    return sql.SQL(text)


def identifier(*names: str) -> sql.Identifier:
    """A name, qualified if there are several, for a statement with values: there a single % would begin a value."""
    return sql.Identifier(*(name.replace("%", "%%") for name in names))
