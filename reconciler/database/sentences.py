"""What Postgres refuses or how it fails, as one sentence for people: what is wrong, what to do, no secret."""

import re
from datetime import timedelta

import psycopg
from psycopg import errors as pg

from reconciler.database.libpq import blamed

# How Postgres and pgbouncer, in English, say that they have too many connections; a code does not come with it.
_CROWDED = re.compile(r"too many (connections|clients)|connection slots|no more connections allowed")


def sentence(where: str, error: BaseException | None, *, statement_timeout: timedelta) -> str:
    """Say what went wrong.

    Args:
        where: the setting that names the database, and its address without a password.
        error: as psycopg raised it.
        statement_timeout: the longest that one statement may take.
    """
    said = primary(error)
    # The server's words may be in any language: what they mean is told by code and by the function that said them.
    function = error.diag.source_function if isinstance(error, psycopg.Error) else None
    match error:
        case pg.QueryCanceled():
            return (
                f"{where}: a statement took longer than {statement_timeout.total_seconds():g} s and was "
                "stopped; nothing is lost, run again, or raise RECONCILE_STATEMENT_TIMEOUT."
            )
        case pg.InsufficientPrivilege() if function == "check_enable_rls":
            return (
                f"{where} would show a part of the rows only, and not say so ({said}): let the role bypass row-level "
                "security (ALTER ROLE … BYPASSRLS), be the role that owns the table, or turn it off for that table. "
                "Nothing was done."
            )
        case pg.InsufficientPrivilege():
            return f"{where}: {said}; the grants that the role needs are in sql/grants/*.sql."
        case pg.ReadOnlySqlTransaction() if error.diag.context:  # our own statements call no functions of others
            return (
                f"{where}: reading a table runs somebody's code, which tries to write ({said}; "
                f"{error.diag.context.splitlines()[-1]}). Nothing was done. Find out who put it there: functions of "
                "indexes, statistics, domains and partitions run for whoever reads the table."
            )
        case pg.ReadOnlySqlTransaction():
            return _read_only(where, said)
        case pg.FeatureNotSupported() if function == "call_bool_check_hook":  # BEGIN READ WRITE on a replica
            return _read_only(where, said)
        case pg.DiskFull():
            return f"{where}: the server's disk is full ({said}); nothing is lost, make room and run again."
        case psycopg.OperationalError() if error.sqlstate is None:
            return _no_connection(where, said)
        case pg.AdminShutdown() | pg.CrashShutdown() | pg.CannotConnectNow():
            return f"{where} is shutting down or starting: {said}; nothing is lost, run again."
    return f"{where}: {said}."


def _no_connection(where: str, said: str) -> str:
    if names := blamed(said):
        said += f" (the environment sets {' and '.join(names)})"
    refused = said.rpartition("FATAL:")[2].strip()
    if _CROWDED.search(refused):
        return (
            f"{where} gives us no connection: {refused}. A pass needs one to each of its databases, a dry run "
            "two: let others have fewer, or raise the role's CONNECTION LIMIT. Nothing is lost, run again."
        )
    if refused != said:
        return f"{where} refuses the connection: {refused}; nothing is lost, mend that and run again."
    return f"{where} can't be reached or dropped the connection: {said}; nothing is lost, run again."


def _read_only(where: str, said: str) -> str:
    return (
        f"{where} takes no writes ({said}): it is a replica, or its server is failing over. The ledger needs the "
        "primary: name it in the URL, or name all hosts and add target_session_attrs=read-write. A replica may be read "
        "if RECONCILE_LEDGER_URL names a ledger elsewhere. Nothing is lost, run again."
    )


def primary(error: BaseException | None) -> str:
    """What the server, or libpq, says in the first place."""
    if isinstance(error, psycopg.Error) and error.diag.message_primary:
        return error.diag.message_primary
    lines = [line.strip().rstrip(".") for line in str(error).splitlines() if line.strip()]
    if not lines:
        return "no reason was given"
    # libpq adds a hint on further lines; of several hosts it says each one's failure on a line of its own.
    return "; ".join(lines[1:]) if lines[0].startswith("Multiple") and len(lines) > 1 else lines[0]
