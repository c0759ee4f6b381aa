"""Requests go as fast as Lago lets them: evenly under its rate limits, and at once when it lets them again."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.lago.pace import LONGEST_WAIT, Pace


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Limited:
    """A server that lets so many requests through in each second, as Lago's cloud does, and tells whole seconds."""

    def __init__(self, time: Time, limit: int, *, others: float = 0.0, headers: bool = True) -> None:
        self.time, self.limit, self.others, self.headers = time, limit, others, headers
        self.taken: Counter[int] = Counter()  # by second
        self.refused = 0

    def ask(self, pace: Pace) -> None:
        pace.wait()
        second = int(self.time.now)
        used = self.taken[second] + self.others * (self.time.now % 1)
        taken = used < self.limit
        self.taken[second] += taken
        self.refused += not taken
        left = max(0, int(self.limit - used - 1))
        told = {"x-ratelimit-limit": f"{self.limit}", "x-ratelimit-remaining": f"{left}", "x-ratelimit-reset": "1"}
        (pace.learn if taken else pace.refused)(told if self.headers else {})
        self.time.now += 0.001

    def rate(self, seconds: float, pace: Pace) -> float:
        while self.time.now < seconds:
            self.ask(pace)
        return self.taken.total() / seconds


def paced(time: Time, ceiling: float | None = None) -> Pace:
    return Pace(ceiling, clock=time, sleep=time.sleep)


def test_the_ceiling_spreads_requests_evenly() -> None:
    time = Time()
    pace = paced(time, 5)
    moments = []
    for _ in range(11):
        pace.wait()
        moments.append(time.now)
    assert moments[-1] == pytest.approx(2.0, abs=0.21)
    assert all(later - earlier <= 0.2 + 1e-9 for earlier, later in pairwise(moments))


def test_a_pause_is_not_made_up_for_by_a_burst() -> None:
    time = Time()
    pace = paced(time, 10)
    pace.wait()
    time.now += 60
    began = time.now
    for _ in range(11):
        pace.wait()
    assert time.now - began >= 0.9


@pytest.mark.parametrize("limit", [5, 50, 200])
def test_a_limit_that_lago_tells_is_used_to_the_full_and_hardly_ever_met(limit: int) -> None:
    time = Time()
    lago = Limited(time, limit)
    assert lago.rate(60, paced(time)) >= 0.9 * limit
    assert lago.refused <= 20


@pytest.mark.parametrize("limit", [5, 50])
def test_a_limit_of_which_lago_says_nothing_is_used_to_the_full(limit: int) -> None:
    time = Time()
    assert Limited(time, limit, headers=False).rate(60, paced(time)) >= 0.9 * limit


def test_a_long_span_is_forgotten_once_lago_names_shorter_ones() -> None:
    time = Time()
    pace = paced(time)
    pace.refused({"x-ratelimit-limit": "20", "x-ratelimit-reset": "30"})
    lago = Limited(time, 20)
    lago.rate(100, pace)
    before = lago.taken.total()
    lago.rate(160, pace)
    assert lago.taken.total() - before >= 0.9 * 20 * 60


def test_a_span_that_is_counted_down_stays_as_long_as_it_is() -> None:
    time = Time()
    pace = paced(time)
    for second in range(300):
        time.now = float(second)
        pace.learn({"x-ratelimit-limit": "60", "x-ratelimit-reset": str(60 - second % 60)})
        assert pace.rate == pytest.approx(1)


def test_a_span_that_is_used_up_is_waited_out() -> None:
    time = Time()
    pace = paced(time)
    pace.learn({"x-ratelimit-limit": "50", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "30"})
    pace.wait()
    assert 29 <= time.now <= 30


def test_a_limit_that_others_use_too_is_shared_without_timid_waits() -> None:
    time = Time()
    lago = Limited(time, 50, others=25)
    assert lago.rate(120, paced(time)) >= 0.6 * 25


def test_a_429_that_says_nothing_is_waited_for_longer_each_time_and_soon_forgotten() -> None:
    time = Time()
    pace = paced(time)
    waits = []
    for _ in range(12):
        waits.append(pace.refused({}))
        pace.wait()
    assert waits[0] <= 0.2
    assert waits == sorted(waits)
    assert waits[0] * 100 < waits[-1] <= LONGEST_WAIT
    pace.learn({})
    assert pace.refused({}) == waits[0]


def test_requests_that_are_refused_together_are_one_refusal() -> None:
    time = Time()
    pace = paced(time)
    assert len({pace.refused({}) for _ in range(8)}) == 1
    pace.wait()
    assert pace.refused({}) == pytest.approx(2 * time.now)


def test_a_reset_that_is_a_moment_instead_of_seconds_says_nothing() -> None:
    pace = paced(Time())
    told = {"x-ratelimit-limit": "50", "x-ratelimit-reset": "1795540000"}
    assert pace.refused(told) <= 0.2
    pace.learn(told)
    assert pace.rate
    assert 40 < pace.rate <= 50


def test_retry_after_goes_before_the_reset_and_is_waited_for() -> None:
    time = Time()
    pace = paced(time)
    assert pace.refused({"retry-after": "7", "x-ratelimit-reset": "2"}) == 7
    pace.wait()
    assert time.now >= 7


def test_retry_after_may_be_a_date() -> None:
    pace = paced(Time())
    moment = datetime.now(UTC) + timedelta(seconds=30)
    assert 28 <= pace.refused({"retry-after": format_datetime(moment, usegmt=True)}) <= 30
    assert pace.refused({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) <= 0.4, "not at once, since it refuses"


HEADERS = ["retry-after", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"]


@settings(max_examples=50)
@given(st.dictionaries(st.sampled_from(HEADERS), st.text()))
def test_no_header_makes_it_wait_for_ever(headers: dict[str, str]) -> None:
    time = Time()
    pace = paced(time)
    assert 0 <= pace.refused(headers) <= LONGEST_WAIT
    pace.learn(headers)
    pace.wait()
    pace.wait()
    assert time.now <= 2 * LONGEST_WAIT


def test_a_lago_that_says_at_once_and_refuses_again_is_not_hammered() -> None:
    time = Time()
    pace = paced(time)
    for _ in range(8):
        pace.refused({"retry-after": "0"})
        pace.wait()
    assert time.now > 10
