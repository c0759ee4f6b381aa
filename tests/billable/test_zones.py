"""Windows and the midnights of time zones, summer time and odd offsets included."""

from datetime import UTC, datetime, timedelta

import pytest

from reconciler.delivery.billable.zones import fitting, keeps_to_midnights, zone_of

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "minutes", "fits"),
    [
        ("UTC", 1440, True), ("Asia/Kathmandu", 15, True), ("Asia/Kathmandu", 10, False), ("Asia/Kathmandu", 2, False),
        ("Asia/Kolkata", 30, True), ("Asia/Kolkata", 60, False), ("Asia/Kolkata", 4, False),
        ("America/New_York", 60, True), ("America/New_York", 240, False), ("Asia/Tokyo", 180, True),
        ("Europe/London", 1440, False), ("Australia/Lord_Howe", 60, False), ("Pacific/Apia", 60, True),
    ],
)  # fmt: skip
def test_a_window_fits_if_no_midnight_of_a_year_lies_within_one(name: str, minutes: int, *, fits: bool) -> None:
    zone = zone_of(name)
    assert zone is not None
    assert keeps_to_midnights(zone, timedelta(minutes=minutes), NOW) is fits


def test_the_longest_usual_window_that_fits_all_zones_is_found() -> None:
    zones = [zone for name in ("Asia/Kolkata", "Asia/Tokyo") if (zone := zone_of(name))]
    assert fitting(zones, timedelta(hours=1), NOW) == timedelta(minutes=30)
    assert fitting([*zones, zone_of("Asia/Kathmandu") or UTC], timedelta(hours=1), NOW) == timedelta(minutes=15)


def test_a_zone_that_this_machine_does_not_know_is_no_error() -> None:
    assert zone_of("Mars/Olympus") is None
    assert zone_of("../etc/passwd") is None
