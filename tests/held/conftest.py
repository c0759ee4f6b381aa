"""The Lago of the periods' tests."""

from tests.periods.conftest import billing

__all__ = ["billing"]
