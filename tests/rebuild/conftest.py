"""A rebuild in this process, and passes in the past of the ledger."""

from functools import partial

from reconciler.model.when import parse_when
from reconciler.verify.rebuild.found import Found
from reconciler.verify.rebuild.run import Rebuild
from tests.support import settings_of


def look(environ: dict[str, str], since: str = "5h", *, codes: tuple[str, ...] = ()) -> Found:
    """`reconcile rebuild --since … --dry-run` of one meter."""
    work = Rebuild(settings_of(environ), codes)
    try:
        [found] = work.look(partial(parse_when, since))
        return found
    finally:
        work.close()


def rebuild(environ: dict[str, str], since: str = "5h", *, codes: tuple[str, ...] = ()) -> Found:
    """`reconcile rebuild --since … --yes` of one meter; raises what the command would report."""
    work = Rebuild(settings_of(environ), codes)
    try:
        [found] = work.look(partial(parse_when, since))
        for done in work.make():
            if done.error:
                raise done.error
    finally:
        work.close()
    if found.error:
        raise found.error
    return found


def taken(found: Found) -> dict[str, int]:
    """How many events had each fate."""
    return {fate: part.number for fate, part in found.events.items()}
