"""Alembic's entry: runs on the connection it is given, or prints SQL where there is none."""

from alembic import context

from reconciler.ledger.tables import SCHEMA, metadata

connection = context.config.attributes.get("connection")
if connection is None:
    context.configure(
        url="postgresql+psycopg://",
        target_metadata=metadata,
        version_table_schema=SCHEMA,
        literal_binds=True,
        transactional_ddl=True,
    )
else:
    context.configure(connection=connection, target_metadata=metadata, version_table_schema=SCHEMA)

with context.begin_transaction():
    context.run_migrations()
