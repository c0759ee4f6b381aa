"""Whose subscription a customer's events go to: the customer itself, a template, or the operator's own list."""

from collections.abc import Sequence
from typing import Any

from psycopg import sql
from psycopg.rows import class_row, scalar_row
from sqlalchemy import Connection

from reconciler.capture.mapping import COLUMNS, read_mapping
from reconciler.capture.source import TABLES, Relation
from reconciler.database.postgres import cursor, execute, guarded
from reconciler.database.statements import statement
from reconciler.model.errors import SettingsError
from reconciler.model.visible import brief
from reconciler.settings.meter import MeterSettings
from reconciler.settings.values import MappingFile, MappingTable


class Subscriptions:
    """The expression that names a customer's subscription in SQL, and the join that it needs.

    With a mapping, a customer that it lacks has no subscription and is not billed until it has one, unless
    RECONCILE_SUBSCRIPTION is set as well: then the template serves the rest.
    """

    def __init__(self, meter: MeterSettings) -> None:
        """Take the meter's settings; nothing is read yet."""
        self._meter = meter

    def load(self, connection: Connection) -> None:
        """Bring the mapping of the customers in totals into this transaction: as the temp table mapping.

        Raises:
            SettingsError: the file can't be read, or what it or the table says is not sound.
        """
        if self._meter.mapping is None:
            return
        writing = cursor(connection)
        writing.execute(statement("capture/mapping_table"))
        match self._meter.mapping:
            case MappingFile(path):
                known = read_mapping(path)
                longest = {"longest": max(map(len, known), default=0)}
                customers = execute(connection, "capture/customers", longest, scalar_row).fetchall()
                with writing.copy("COPY pg_temp.mapping FROM STDIN") as rows:
                    for customer in customers:
                        if customer in known:
                            rows.write_row((customer, known[customer]))
            case MappingTable() as table:
                read = _rows(table, sql.SQL("SELECT customer FROM pg_temp.totals"))
                with guarded(connection):
                    writing.execute(sql.SQL("INSERT INTO pg_temp.mapping {}").format(read))
                # The table may have changed since the pass began.
                _refuse_unclear(connection, table, sql.Identifier("pg_temp", "mapping"))

    @property
    def expression(self) -> sql.Composable:
        """SQL for the subscription, NULL where there is none; it has the value `template`."""
        template = "replace(%(template)s::text, '{id}', customer)"
        if self._meter.mapping is None:
            return sql.SQL(template)
        if "subscription" in self._meter.model_fields_set:
            return sql.SQL("coalesce(mapping.subscription, {})").format(sql.SQL(template))
        return sql.SQL("mapping.subscription")

    @property
    def join(self) -> sql.Composable:
        """SQL that joins the mapping that was loaded, one row at most a customer."""
        return _join(sql.SQL("pg_temp.mapping")) if self._meter.mapping else sql.SQL("")

    def of(self, connection: Connection, customers: Sequence[str]) -> dict[str, str | None]:
        """What the subscriptions of these customers, each named once, are called; None where the mapping lacks one.

        Nothing is written, no temp table either.

        Args:
            connection: a transaction of the ledger's database.
            customers: whose.

        Raises:
            SettingsError: the mapping can't be read, or is not sound.
        """
        self.check(connection)
        values: dict[str, Any] = {"template": self._meter.subscription, "customers": list(customers)}
        join: sql.Composable = sql.SQL("")
        match self._meter.mapping:
            case MappingFile(path):
                known = read_mapping(path)
                mapped = [customer for customer in customers if customer in known]
                values |= {"mapped": mapped, "subscriptions": [known[customer] for customer in mapped]}
                unnested = "unnest(%(mapped)s::text[], %(subscriptions)s::text[]) AS mapping (customer, subscription)"
                join = _join(sql.SQL(unnested))
            case MappingTable() as table:
                read = _rows(table, sql.SQL("SELECT unnest(%(customers)s::text[])"))
                join = _join(sql.SQL("({}) AS mapping").format(read))
        with guarded(connection):
            found = execute(
                connection, "capture/subscriptions_of", values, subscription=self.expression, mapping=join
            ).fetchall()
        if len(found) > len(customers):
            raise SettingsError("RECONCILE_MAPPING: the table has changed while it was read: run again.")
        return dict(found)

    def check(self, connection: Connection) -> None:
        """See that the operator's file is sound, or the table there, readable and sound, before anything is planned.

        Raises:
            SettingsError: it is not, or lacks a column.
        """
        if isinstance(self._meter.mapping, MappingFile):
            read_mapping(self._meter.mapping.path)
        if not isinstance(self._meter.mapping, MappingTable):
            return
        schema, name = self._meter.mapping
        row = execute(connection, "capture/relation", {"schema": schema, "name": name}, class_row(Relation)).fetchone()
        if row is not None and row.kind not in {*TABLES, "m"}:
            raise SettingsError(
                f"RECONCILE_MAPPING: {schema}.{name} in the ledger's database is {row.what}, which runs its owner's "
                "code for whoever reads it: give a table or a materialized view."
            )
        if missing := [column for column in COLUMNS if row is None or column not in row.readable]:
            raise SettingsError(
                f"RECONCILE_MAPPING: the table {schema}.{name} in the ledger's database lacks {' and '.join(missing)}, "
                "or the role may not read it; it needs text columns customer and subscription, such as "
                "table:billing.subscriptions."
            )
        with guarded(connection):
            _refuse_unclear(connection, self._meter.mapping, sql.Identifier(schema, name))


def _join(mapping: sql.Composable) -> sql.Composable:
    return sql.SQL("LEFT JOIN {} USING (customer)").format(mapping)


def _rows(table: MappingTable, customers: sql.Composable) -> sql.Composable:
    """The statement that reads what the operator's table says of some customers."""
    return statement("capture/mapping").format(mapping=sql.Identifier(*table), customers=customers)


def _refuse_unclear(connection: Connection, table: MappingTable, rows: sql.Identifier) -> None:
    """See that the rows, which are the table or what was brought of it, give each customer one subscription."""
    found = execute(connection, "capture/unclear", mapping=rows).fetchall()
    if not found:
        return
    named = "; ".join(f"{brief(name, 100)!r} has {'an empty one' if lacks else 'two'}" for name, lacks, _ in found)
    more = found[0][-1] - len(found)
    raise SettingsError(
        f"RECONCILE_MAPPING: the table {'.'.join(table)} in the ledger's database must give each customer one "
        f"subscription: {named}{f'; and {more:,} more' if more else ''}; mend or delete these rows."
    )
