"""Where no terminal is, a backfill says now and then how far it is."""

from datetime import UTC, datetime, timedelta

from reconciler.cli.show.progress import Words

SINCE = datetime(2026, 11, 1, tzinfo=UTC)
UNTIL = SINCE + timedelta(days=10)


def test_a_backfill_in_a_pipe_says_now_and_then_how_far_it_is() -> None:
    said: list[str] = []
    now = 0.0
    words = Words(said.append, lambda: now)
    for day in range(1, 11):
        now += 10
        words.looked("backfill", SINCE, UNTIL, SINCE + timedelta(days=day), day * 100)
    assert said == [
        "Backfilling: up to 2026-11-02 00:00 of 2026-11-11 00:00 UTC, 100 events planned (10%)",
        "Backfilling: up to 2026-11-05 00:00 of 2026-11-11 00:00 UTC, 400 events planned (40%, about 45 s left)",
        "Backfilling: up to 2026-11-08 00:00 of 2026-11-11 00:00 UTC, 700 events planned (70%, about 26 s left)",
        "Backfilling: up to 2026-11-11 00:00 of 2026-11-11 00:00 UTC, 1,000 events planned (100%)",
    ]


def test_delivery_counts_on_and_a_quick_pass_says_nothing() -> None:
    said: list[str] = []
    now = 0.0
    words = Words(said.append, lambda: now)
    words.delivering(1000)
    words.answered(100)
    assert said == []
    now += 40
    words.answered(400)
    assert said == ["Delivering to Lago: 500 of 1,000 events (50%, about 40 s left)"]
