"""What is odd about the rows of the spend table: alarms and the doctor go by the same. Pure."""

from datetime import datetime, timedelta

EMPTY = (
    "The spend table has no rows, and never had any. If the proxy has served requests, it does not write them here: "
    "see that its general_settings have neither disable_spend_logs nor disable_spend_updates, that SPEND_LOGS_URL is "
    "not set, and that DATABASE_URL, with its schema, is the proxy's own."
)

_AHEAD = timedelta(minutes=45)
"""Rows that lie so far ahead were not stamped with UTC; clocks differ by less."""


def is_ahead(newest: datetime, clock: datetime) -> bool:
    """Whether the newest row lies further ahead of the source's clock than clocks differ."""
    return newest - clock >= _AHEAD
