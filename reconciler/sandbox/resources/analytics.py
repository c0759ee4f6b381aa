"""Lago's analytics of usage. It asks no licence for them, but a service of its own that is not public.

Without its address (`LAGO_DATA_API_URL`) there is nobody to ask, and nothing in Lago catches that.

Facts: `getlago/lago-api`, `app/services/data_api/base_service.rb` and `usages_service.rb`.
"""

from reconciler.sandbox.call import Call
from reconciler.sandbox.refusals import crashed


def usage(_call: Call) -> None:
    """GET /analytics/usage."""
    raise crashed()
