"""What a forked `reconcile` finds imported; only the process that forks it imports this."""

# ruff: noqa: F401
import alembic.command
import certifi
import httpcore
import sqlalchemy.dialects.postgresql.psycopg

import reconciler.cli.show
import reconciler.delivery.dispatch
import reconciler.ledger.schema
import reconciler.passes.run
