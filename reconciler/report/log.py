"""The log: one line an incident, on standard error, as `key=value` that people and programs read."""

import sys

import structlog


def configure() -> None:
    """Write log lines to standard error, which leaves standard output to what was asked for."""
    structlog.configure(
        processors=[
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.add_log_level,
            structlog.processors.LogfmtRenderer(
                key_order=["timestamp", "level", "event", "meter"], drop_missing=True, bool_as_flag=False
            ),
        ],
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
    )
