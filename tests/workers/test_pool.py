"""The pool: the same results whoever computes them and whoever dies, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from reverie.errors import ReverieError
from reverie.workers.pool import Workers
from tests.workers import tasks

FULL = "shared memory is full: give it more (/dev/shm; docker run --shm-size 1g), or use fewer workers"
ADVICE = "use fewer workers if memory is short, or 0 to run the task in this process"


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state != "Z"  # ended, and nobody has asked how


def _wait_for(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


@pytest.mark.parametrize("count", [0, 1, 3])
def test_results_are_in_the_order_of_the_tasks(count: int) -> None:
    done = []
    with Workers(count) as workers:
        results = workers.map(tasks.square_slowly, range(4), on_done=lambda index, result: done.append((index, result)))
        assert workers.map(tasks.square, []) == []
    assert results == [0, 1, 4, 9]
    assert sorted(done) == list(enumerate(results))


def test_tasks_run_beside_each_other_in_other_processes() -> None:
    with Workers(2) as workers:
        first = set(workers.map(tasks.process, range(40)))
        assert set(workers.map(tasks.process, range(40))) <= first  # the processes last
    assert 1 <= len(first) <= 2
    assert os.getpid() not in {worker for worker, _ in first}
    with Workers(0) as workers:
        assert workers.map(tasks.process, [0]) == [(os.getpid(), os.getppid())]


def test_a_worker_keeps_what_it_cached() -> None:
    with Workers(1) as workers:
        assert workers.map(tasks.remember, [1, 2]) == [[1], [1, 2]]
        assert workers.map(tasks.remember, [3]) == [[1, 2, 3]]


def test_a_worker_imports_only_what_it_needs() -> None:
    with Workers(1) as workers:
        [found] = workers.map(tasks.surroundings, [0])
    assert found["threads"] == {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "BLOSC_NTHREADS": "1"}
    assert found["path"] == sys.path
    assert found["modules"].isdisjoint({"torch", "numpy", "pytest", "reverie.workers.pool"})


def test_one_thread_everywhere_gives_the_same_bits() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with Workers(0) as here, Workers(2) as there:
            results = here.map(tasks.product, range(3))
            assert results == there.map(tasks.product, range(3))
        assert {threads for threads, _ in results} == {1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_large_task_and_a_large_result() -> None:
    data = os.urandom(20_000_000)
    with Workers(2) as workers:
        assert workers.map(tasks.reverse, [data, b"", data]) == [data[::-1], b"", data[::-1]]


def test_a_worker_that_is_killed_changes_nothing(tmp_path: Path) -> None:
    with Workers(2) as workers:
        assert workers.map(tasks.die_once, [(tmp_path, number) for number in range(5)]) == [0, 1, 4, 9, 16]
        assert workers.map(tasks.square, [7]) == [49]


def test_a_worker_that_is_killed_while_idle_changes_nothing() -> None:
    with Workers(1) as workers:
        [(worker, keeper)] = workers.map(tasks.process, [0])
        os.kill(worker, signal.SIGKILL)
        assert workers.map(tasks.square, [7]) == [49]
        [(worker, keeper)] = workers.map(tasks.process, [0])
        os.kill(keeper, signal.SIGKILL)
        assert workers.map(tasks.square, [8]) == [64]
        assert _wait_for(lambda: not _lives(worker))


def test_a_worker_takes_no_notice_of_ctrl_c() -> None:
    with Workers(1) as workers:
        assert len(set(workers.map(tasks.interrupt, range(3)) + workers.map(tasks.process, [0]))) == 1


def test_a_task_that_hangs_is_tried_again(tmp_path: Path) -> None:
    with Workers(2) as workers:
        results = workers.map(tasks.hang_once, [(tmp_path, number) for number in range(3)], deadline_s=1.0)
    assert results == [0, 1, 4]


@pytest.mark.parametrize(
    ("function", "task", "deadline", "message"),
    [
        (tasks.signal_self, signal.SIGKILL, None, "the worker of task 0 died 3 times (last by SIGKILL)"),
        (tasks.signal_self, signal.SIGBUS, None, "the worker of task 0 died 3 times (last by SIGBUS)"),
        (tasks.leave, 7, None, "the worker of task 0 died 3 times (last with exit code 7)"),
        (tasks.leave, 250, None, "the worker of task 0 died 3 times (last with exit code 250)"),
        (tasks.hang, 0, 0.3, "the worker of task 0 took longer than 0.3 s 3 times"),
    ],
)
def test_after_three_tries_it_is_an_error(
    function: Callable[[int], None], task: int, deadline: float | None, message: str
) -> None:
    with Workers(1) as workers:
        with pytest.raises(ReverieError) as caught:
            workers.map(function, [task], deadline_s=deadline)
        assert str(caught.value) == f"{message}; {FULL if 'SIGBUS' in message else ADVICE}"
        assert workers.map(tasks.square, [7]) == [49]


@pytest.mark.parametrize("count", [0, 2])
def test_an_exception_of_a_task_is_raised_here(count: int) -> None:
    with Workers(count) as workers:
        with pytest.raises(ValueError, match="no such thing") as caught:
            workers.map(tasks.fail, ["", "value", ""])
        assert str(caught.value) == "no such thing"
        if count:
            assert 'raise ValueError("no such thing")' in caught.value.__notes__[0]
        assert workers.map(tasks.square, [7]) == [49]


@pytest.mark.parametrize(("kind", "name"), [("picky", "PickyError: doom"), ("local", "LocalError: made here")])
def test_an_exception_that_cannot_travel_goes_as_text(kind: str, name: str) -> None:
    with Workers(1) as workers, pytest.raises(RuntimeError, match=name):
        workers.map(tasks.fail, [kind])


def test_a_result_that_cannot_travel_is_an_error() -> None:
    with Workers(1) as workers, pytest.raises((AttributeError, TypeError), match="pickle"):
        workers.map(tasks.unpicklable, [0])


def test_what_is_running_is_dropped_when_a_task_fails() -> None:
    with Workers(2) as workers:
        pids = {worker for worker, _ in workers.map(tasks.process, range(40))}
        start = time.monotonic()
        with pytest.raises(ValueError, match="no such thing"):
            workers.map(tasks.fail_or_hang, ["hang", "value"])
        assert time.monotonic() - start < 15
        assert _wait_for(lambda: not any(map(_lives, pids)))


def test_an_error_in_on_done_is_raised_here() -> None:
    def stop(index: int, result: int) -> None:
        raise KeyError(index)

    with Workers(1) as workers, pytest.raises(KeyError):
        workers.map(tasks.square, [1], on_done=stop)


def test_fewer_than_no_workers() -> None:
    with pytest.raises(ReverieError) as caught:
        Workers(-1)
    assert str(caught.value) == "found -1 workers; expected 0 (in this process) or more"


def test_leaving_lets_workers_tidy_up(tmp_path: Path) -> None:
    with Workers(1) as workers:
        workers.map(tasks.tidy_at_exit, [tmp_path / "note"])
        [(worker, keeper)] = workers.map(tasks.process, [0])
        assert _lives(worker)
        assert _lives(keeper)
    assert not _lives(worker)
    assert not _lives(keeper)
    assert (tmp_path / "note").read_text() == "tidy"


def test_an_engine_that_a_task_left_ends_with_the_pool(tmp_path: Path) -> None:
    with Workers(1) as workers:
        [started] = workers.map(tasks.start_engine, [tmp_path / "pids"])
        assert all(map(_lives, started))
    assert _wait_for(lambda: not any(map(_lives, started)))


def test_an_engine_ends_with_its_worker(tmp_path: Path) -> None:
    with Workers(1) as workers, pytest.raises(ReverieError, match="died 3 times"):
        workers.map(tasks.start_engine_and_die, [tmp_path / "pids"])
    started = [int(word) for path in tmp_path.iterdir() for word in path.read_text().split()]
    assert _wait_for(lambda: not any(map(_lives, started)))


def _main(program: str, *arguments: str) -> subprocess.Popen[str]:
    """A main program that can import the tests' tasks, in a session of its own."""
    here = Path(__file__).parents[2]
    start = f"import sys; sys.path.append({str(here)!r})\n"
    command = [sys.executable, "-c", start + program, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


BUSY = """
from pathlib import Path
from reverie.workers.pool import Workers
from tests.workers import tasks
with Workers(2) as workers:
    workers.map(tasks.start_engine_and_hang, [Path(sys.argv[1]) / "a", Path(sys.argv[1]) / "b"])
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_nothing_outlives_the_main_program(tmp_path: Path, number: signal.Signals) -> None:
    with _main(BUSY, str(tmp_path)) as main:
        assert _wait_for(lambda: (tmp_path / "a").exists() and (tmp_path / "b").exists())
        started = [int(word) for name in "ab" for word in (tmp_path / name).read_text().split()]
        assert all(map(_lives, started))
        start = time.monotonic()
        os.killpg(main.pid, number)  # as a terminal does it: the whole group
        _, said = main.communicate()
        assert time.monotonic() - start < 5
        assert main.returncode == -number
        assert _wait_for(lambda: not any(map(_lives, started)), seconds=5)
        assert said.count("Traceback") == (number == signal.SIGINT)  # and none of a worker's


MAIN = """
import math
import reverie.workers.pool
from tests.workers import tasks
with reverie.workers.pool.Workers(2) as workers:
    print(workers.map(tasks.say, ["from a worker"]), workers.map(math.sqrt, [4.0, 9.0]))
"""


@pytest.mark.parametrize("way", ["file", "stdin", "module", "interactive"])
def test_any_main_program_will_do(tmp_path: Path, way: str) -> None:
    """Also one without a `__main__` guard; and stdout is the main program's alone."""
    (tmp_path / "program.py").write_text(MAIN)
    how = {"file": ["program.py"], "stdin": ["-"], "module": ["-m", "program"], "interactive": ["-i", "-q", "-"]}
    given = MAIN.rstrip() + "\n\n" if way in ("stdin", "interactive") else None
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, *how[way]], input=given, cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.stdout == "[None] [2.0, 3.0]\n"
    assert "from a worker" in done.stderr


def test_a_function_of_the_main_program() -> None:
    program = """
from reverie.workers.pool import Workers
def double(number): return 2 * number
with Workers(0) as workers: print(workers.map(double, [4]))
with Workers(1) as workers: workers.map(double, [4])
"""
    with _main(program) as main:
        printed, said = main.communicate()
    assert printed == "[8]\n"
    assert "from the main program; move it to a module" in said.splitlines()[-1]
