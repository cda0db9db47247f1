"""A call that never comes back costs a worker and no more; outside of workers nothing is cut short."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from reverie.errors import ReverieError
from reverie.workers import patience
from reverie.workers.pool import Workers
from reverie.workers.worker import cause
from tests.workers import tasks


@pytest.fixture
def no_timer() -> Iterator[None]:
    """Without the one that ends tests which take too long."""
    before = signal.setitimer(signal.ITIMER_REAL, 0)
    yield
    signal.setitimer(signal.ITIMER_REAL, *before)


def test_a_task_that_hangs_in_a_call_is_done_by_another_worker(tmp_path: Path) -> None:
    with Workers(1) as workers:
        first, second = workers.map(tasks.hang_once_in_a_call, [tmp_path / "a", tmp_path / "b"])
    assert first != second  # the second worker did the first task and hung at the second, which the third did
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_a_call_that_always_hangs_is_an_error_that_says_so() -> None:
    expected = r"worker of task 0 died 3 times \(last in a call that did not come back\); use fewer workers"
    with Workers(1) as workers, pytest.raises(ReverieError, match=expected):
        workers.map(tasks.hang_in_a_call, [None])


def test_here_it_waits_for_ever(no_timer: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(patience.IN_WORKER, raising=False)
    with patience.patience(0.001):
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_in_a_worker_the_clock_is_stopped_behind_a_call(no_timer: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(patience.IN_WORKER, "1")
    with patience.patience(100.0):
        assert 0 < signal.getitimer(signal.ITIMER_REAL)[0] <= 100.0
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    with pytest.raises(ZeroDivisionError), patience.patience():  # as where a world raises
        print(1 / 0)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_how_a_process_ended_in_words() -> None:
    assert cause(128 + signal.SIGKILL) == "by SIGKILL"
    assert cause(128 + signal.SIGALRM) == "in a call that did not come back"
    assert cause(3) == "with exit code 3"
