"""Lago's event stores."""

from typing import Literal

Store = Literal["postgres", "clickhouse", "unknown"]
"""Where a Lago keeps its events; the two answer a repeated event in opposite ways (facts: lago section 0.1).

Postgres refuses an event that it has, ClickHouse takes it again. Of an old Lago the store may be unknown.
"""
