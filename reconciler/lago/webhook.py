"""The operator's webhook for alarms. It stands here since only this package speaks HTTP; Lago has no part in it.

No sentence quotes its address or what answers there, since either may hold a token.
"""

import threading
from collections.abc import Mapping
from contextlib import closing
from typing import Any

import httpx
import msgspec
from pydantic import SecretStr

from reconciler import __version__
from reconciler.lago import surroundings
from reconciler.model.errors import SettingsError

SECONDS = 10.0
"""How long it may take to tell of an alarm, by a post or by the operator's command."""


def post(url: SecretStr, told: Mapping[str, Any], *, seconds: float = SECONDS) -> str | None:
    """Post the alarm to a webhook; of the answer only the status counts, and redirects are not followed."""
    answer: list[str | None] = []
    # httpx limits each step on the wire alone, so that an answer that drips could take for ever.
    posting = threading.Thread(target=lambda: answer.append(_post(url.get_secret_value(), told, seconds)), daemon=True)
    posting.start()
    posting.join(seconds)
    return answer[0] if answer else f"RECONCILE_ALARM_WEBHOOK did not answer within {seconds:g} s"


def _post(url: str, told: Mapping[str, Any], seconds: float) -> str | None:
    headers = {"Content-Type": "application/json", "User-Agent": f"reconciler/{__version__}"}
    try:
        proxy = surroundings.proxy_to(url, "the webhook", secret=True)
        with (
            httpx.Client(
                timeout=seconds,
                trust_env=False,
                verify=surroundings.trust(url, proxy, "the webhook"),
                proxy=proxy and proxy.proxy,
            ) as client,
            closing(
                client.send(
                    client.build_request("POST", url, content=msgspec.json.encode(told), headers=headers), stream=True
                )
            ) as response,
        ):
            status = response.status_code
    except SettingsError as error:
        return f"RECONCILE_ALARM_WEBHOOK can't be reached: {error}"
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, OSError) as error:
        return f"RECONCILE_ALARM_WEBHOOK can't be reached ({type(error).__name__})"
    return None if 200 <= status < 300 else f"RECONCILE_ALARM_WEBHOOK answers {status}"
