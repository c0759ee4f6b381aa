"""Who sends events of a meter's code to Lago, as far as they show it. Pure."""

from collections.abc import Mapping
from typing import Any

from reconciler.lago.shown import is_callbacks
from reconciler.model.identity import PREFIX

CALLBACK = "LiteLLM's callback"
METER = "another meter"
LEDGER = "another ledger of this meter"
OTHER = "another producer"

CURES = {
    CALLBACK: "take `lago` out of the proxy's litellm_settings and restart it.",
    METER: "give one of the two meters another event code.",
    LEDGER: (
        "point RECONCILE_LEDGER_URL at the newest ledger; if it is lost, run `reconcile rebuild`; or give the other "
        "proxy its own RECONCILE_METER."
    ),
    OTHER: "find out who sends them.",
}
"""What to do where they bill twice, by who does it."""


def producer(event: Mapping[str, Any], meter: str, computed: str | None) -> str:
    """Who sends such events: a key of `CURES`.

    Args:
        event: as Lago shows it, one that the meter's ledger has not sent.
        meter: the meter's name.
        computed: the property that Lago adds by the metric's expression, if it has one.
    """
    properties = event.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    if str(event.get("transaction_id")).startswith(PREFIX):
        return LEDGER if properties.get("meter") == meter else METER
    return CALLBACK if is_callbacks(event, computed) else OTHER
