"""The schedule in simulated time: every task ends once, whoever dies, dawdles or hangs."""

from __future__ import annotations

import heapq

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reverie.errors import ReverieError
from reverie.workers.schedule import FIRST_LATE_S, LATE, LEAST_LATE_S, LEAST_SLOW_S, SLOW, Schedule


def _three_ended(count: int = 5, seconds: float = 10.0) -> Schedule:
    """Tasks 0, 1 and 2 took `seconds` each; the others wait."""
    schedule = Schedule(count)
    for worker in "abc":
        schedule.next(worker, 0.0)
    for worker in "abc":
        schedule.ended(worker, seconds)
    return schedule


def test_tasks_go_out_in_order_and_end_in_any() -> None:
    schedule = Schedule(3)
    assert [schedule.next(worker, 0.0) for worker in "abcd"] == [0, 1, 2, None]
    assert [schedule.ended(worker, 1.0) for worker in "cab"] == [2, 0, 1]
    assert (schedule.left, schedule.reissued) == (0, 0)


def test_a_lost_task_is_the_next_one() -> None:
    schedule = Schedule(3)
    assert [schedule.next(worker, 0.0) for worker in "ab"] == [0, 1]
    schedule.lost("a", "died")
    schedule.lost("nobody", "died")
    assert [schedule.next(worker, 1.0) for worker in "cd"] == [0, 2]
    assert (schedule.left, schedule.reissued) == (3, 1)


def test_the_third_loss_is_an_error() -> None:
    schedule = Schedule(1)
    for _ in range(2):
        schedule.next("a", 0.0)
        schedule.lost("a", "died")
    schedule.next("a", 0.0)
    with pytest.raises(ReverieError) as caught:
        schedule.lost("a", "died")
    assert str(caught.value) == (
        "the worker of task 0 died 3 times; look at the nodes' logs, "
        "or run with --workers 0 to see the task in this process"
    )


def test_an_idle_worker_doubles_the_slowest_task_once() -> None:
    schedule = _three_ended()
    assert [schedule.next("a", 10.0), schedule.next("b", 11.0)] == [3, 4]
    assert schedule.next("c", 10.0 + SLOW * 10.0) is None
    assert schedule.next("c", 10.1 + SLOW * 10.0) == 3
    assert schedule.next("d", 10.2 + SLOW * 10.0) is None  # 4 is not slow yet, and 3 is doubled
    assert schedule.ended("c", 50.0) == 3
    assert schedule.ended("a", 51.0) is None  # too late, and no harm done
    assert schedule.left == 1


def test_short_tasks_are_not_slow_at_once() -> None:
    schedule = _three_ended(4, seconds=0.01)
    schedule.next("a", 1.0)
    assert schedule.next("b", 1.0 + LEAST_SLOW_S) is None
    assert schedule.next("b", 1.1 + LEAST_SLOW_S) == 3


def test_nobody_is_slow_before_some_have_ended() -> None:
    schedule = Schedule(1)
    schedule.next("a", 0.0)
    assert schedule.next("b", 1e9) is None


@pytest.mark.parametrize(
    ("schedule", "limit"),
    [(Schedule(4), FIRST_LATE_S), (_three_ended(4), LATE * 10), (_three_ended(4, 0.1), LEAST_LATE_S)],
)
def test_the_late_are_given_up(schedule: Schedule, limit: float) -> None:
    schedule.next("a", 100.0)
    assert list(schedule.late(100.0 + limit)) == []
    assert list(schedule.late(100.1 + limit)) == [("a", limit)]


def test_who_is_late_after_another_ended_the_task_is_given_up_too() -> None:
    schedule = _three_ended()
    schedule.next("a", 10.0)
    schedule.next("b", 10.0)
    assert schedule.next("c", 60.0) == 3
    assert [schedule.ended("c", 61.0), schedule.ended("b", 61.0)] == [3, 4]
    assert [worker for worker, _ in schedule.late(1e6)] == ["a"]
    schedule.lost("a", "died")
    assert (schedule.left, list(schedule.late(1e6))) == (0, [])


def test_a_deadline_that_was_given_counts() -> None:
    schedule = Schedule(1, deadline=5.0)
    schedule.next("a", 0.0)
    assert list(schedule.late(5.1)) == [("a", 5.0)]


def test_of_two_at_a_task_one_may_die() -> None:
    schedule = _three_ended(4)
    schedule.next("a", 10.0)
    assert schedule.next("b", 100.0) == 3
    schedule.lost("a", "died")
    assert schedule.next("c", 101.0) is None
    assert schedule.ended("b", 102.0) == 3


@settings(max_examples=40, deadline=None)
@given(tasks=st.integers(1, 40), workers=st.integers(1, 12), seed=st.integers(0, 2**32 - 1))
def test_every_task_ends_exactly_once(tasks: int, workers: int, seed: int) -> None:
    """Workers that take 1 to 200 s, of which some die and some never answer."""
    rng, schedule = np.random.default_rng(seed), Schedule(tasks)
    events: list[tuple[float, int, str]] = []
    idle, now, seen, deaths = list(range(workers)), 0.0, [], 0
    while schedule.left:
        for worker in list(idle):
            if schedule.next(worker, now) is not None:
                idle.remove(worker)
                fate = rng.choice(["ends", "dies", "hangs"], p=[0.9, 0.05, 0.05] if deaths < 2 else [1, 0, 0])
                deaths += fate != "ends"
                if fate != "hangs":
                    heapq.heappush(events, (now + rng.uniform(1, 200), worker, fate))
        now = max(now, events[0][0]) if events and rng.random() < 0.8 else now + 10
        while events and events[0][0] <= now:
            _, worker, fate = heapq.heappop(events)
            if fate == "ends":
                seen.append(schedule.ended(worker, now))
            else:
                schedule.lost(worker, "died")
            idle.append(worker)
        for worker, _ in list(schedule.late(now)):
            if not any(worker == other for _, other, _ in events):
                schedule.lost(worker, "hung")
                idle.append(worker)
        assert now < 1e6
    assert sorted(index for index in seen if index is not None) == list(range(tasks))
