"""What a forked `reconcile` finds imported; only the process that forks it imports this."""

# ruff: noqa: F401
import alembic.command
import certifi
import httpcore
import pytest
import sqlalchemy.dialects.postgresql.psycopg

import reconciler.cli.show.events
import reconciler.cli.show.progress
import reconciler.cli.show.status
import reconciler.cli.show.summary
import reconciler.delivery.deliver
import reconciler.ledger.schema
import reconciler.passes.run
import tests.crash.runner
import tests.process
from tests import trust

patch = pytest.MonkeyPatch()
trust.share(patch)
# On a busy machine a backfill takes long enough to say how far it is: no test of a forked one is about that.
patch.setattr(reconciler.cli.show.progress, "FIRST_WORD", float("inf"))
