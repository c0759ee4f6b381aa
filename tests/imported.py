"""What a forked `reconcile` finds imported; only the process that forks it imports this."""

# ruff: noqa: F401
import os

os.environ["COLUMNS"] = "200"  # a console takes its width when it is made

import alembic.command
import certifi
import httpcore
import sqlalchemy.dialects.postgresql.psycopg

import reconciler.dispatch
import reconciler.ledger.schema
import reconciler.passes
import reconciler.show
