"""What the cluster's workers may do, played by a stand-in for Ray: quick, and each fault exactly once."""

from __future__ import annotations

import itertools
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import reverie
from reverie.errors import ReverieError
from reverie.workers import cluster as module
from reverie.workers.pool import Workers
from tests.workers import tasks


class FakeRayError(Exception):
    """As ray.exceptions.RayError."""


class FakeRay(types.ModuleType):
    """Actors in this process, which answer when asked; `fates` says by number what one does instead of its work.

    "dies": at its first task; "hangs": likewise; "unborn": never starts; "old": has another reverie
    """

    def __init__(self, cores: int, fates: dict[int, str]) -> None:
        super().__init__("ray")
        self.cores, self.fates = cores, fates
        self.exceptions = types.SimpleNamespace(RayError=FakeRayError)
        self.numbers, self.answers, self.killed = itertools.count(), dict[int, Callable[[], Any]](), list[int]()
        self.puts, self.references = list[Any](), itertools.count()
        self.gone: set[int] = set()

    def init(self, **_: Any) -> None: ...
    def is_initialized(self) -> bool:
        return False

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": float(self.cores)}

    def nodes(self) -> list[dict[str, bool]]:
        return [{"Alive": True}]

    def put(self, value: Any) -> Any:
        self.puts.append(value)
        return value

    def remote(self, **_: Any) -> Callable[[type], Any]:
        return lambda kind: types.SimpleNamespace(remote=lambda session: Actor(self, kind(session)))

    def refer(self, answer: Callable[[], Any] | None) -> int:
        """A reference to what `answer` will give; to nothing, ever, where it is None."""
        reference = next(self.references)
        if answer is not None:
            self.answers[reference] = answer
        return reference

    def wait(self, references: list[int], num_returns: int, timeout: float) -> tuple[list[int], list[int]]:
        ready = [reference for reference in references if reference in self.answers][:num_returns]
        return ready, [reference for reference in references if reference not in ready]

    def get(self, reference: Any) -> Any:
        return self.answers.pop(reference)() if isinstance(reference, int) else reference

    def kill(self, actor: Actor, no_restart: bool) -> None:
        self.killed.append(actor.number)


class Actor:
    def __init__(self, ray: FakeRay, seat: Any) -> None:
        self.number = next(ray.numbers)
        fate = ray.fates.get(self.number, "")

        def fail() -> Any:
            raise FakeRayError("The actor died.\nModuleNotFoundError: reverie")

        def run(parcel: bytes, items: dict[str, Any]) -> int:
            if fate in ("dies", "hangs") or self.number in ray.gone:
                return ray.refer(None if fate == "hangs" else fail)
            return ray.refer(lambda: seat.run(parcel, items))

        def about() -> int:
            version = "0.0.0" if fate == "old" else reverie.__version__
            born = fate != "unborn" and self.number not in ray.gone
            return ray.refer((lambda: (version, "node-1")) if born else fail)

        for name, act in (("run", run), ("about", about), ("tidy", lambda: ray.refer(seat.tidy))):
            setattr(self, name, types.SimpleNamespace(remote=act))


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., FakeRay]]:
    """Puts a stand-in in Ray's place."""
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(module, "NOBODY_SECONDS", 0.3)
    monkeypatch.delitem(sys.modules, "reverie.workers.seat", raising=False)

    def put(cores: int, **fates: str) -> FakeRay:
        ray = FakeRay(cores, {int(name[1:]): fate for name, fate in fates.items()})
        monkeypatch.setitem(sys.modules, "ray", ray)
        return ray

    yield put
    sys.modules.pop("reverie.workers.seat", None)  # it knows the stand-in


def test_all_work_is_done_by_as_many_as_there_are_cores(fake: Callable[..., FakeRay]) -> None:
    ray = fake(3)
    with Workers("ray") as workers:
        assert workers.count == 3
        assert workers.map(tasks.square, range(10)) == [number**2 for number in range(10)]
    assert sorted(ray.killed) == [0, 1, 2]


def test_a_worker_that_dies_is_replaced_and_its_task_tried_again(fake: Callable[..., FakeRay]) -> None:
    ray = fake(2, _0="dies")
    with Workers("ray") as workers:
        assert workers.map(tasks.square, range(5)) == [0, 1, 4, 9, 16]
    assert next(ray.numbers) == 3


def test_workers_that_died_while_idle_cost_a_task_one_try(fake: Callable[..., FakeRay]) -> None:
    """A node of four went between two generations; a task may lose three workers only by its own fault."""
    ray = fake(5)
    with Workers("ray") as workers:
        workers.map(tasks.square, range(10))
        ray.gone = {0, 1, 2, 3}
        assert workers.map(tasks.square, [5]) == [25]


def test_a_worker_that_hangs_is_given_up(fake: Callable[..., FakeRay]) -> None:
    ray = fake(2, _1="hangs")
    with Workers("ray") as workers:
        assert workers.map(tasks.square, range(5), deadline_s=0.2) == [0, 1, 4, 9, 16]
    assert ray.killed[0] == 1


def test_a_straggler_is_overtaken_before_its_deadline(
    fake: Callable[..., FakeRay], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reverie.workers.schedule.LEAST_SLOW_S", 0.1)
    ray = fake(2, _0="hangs")
    with Workers("ray") as workers:
        assert workers.map(tasks.square, range(6)) == [number**2 for number in range(6)]
        assert workers.map(tasks.square, [7]) == [49]
        assert ray.killed == []  # it may yet answer, and be of use
        monkeypatch.setattr(module, "LEAST_LATE_S", 0.0)
        assert workers.map(tasks.square, range(20)) == [number**2 for number in range(20)]
        assert ray.killed == [0]


def test_a_task_that_kills_every_worker_is_an_error(fake: Callable[..., FakeRay]) -> None:
    fake(1, _0="dies", _1="dies", _2="dies")
    with Workers("ray") as workers, pytest.raises(ReverieError, match=r"^the worker of task 0 died 3 times; look at"):
        workers.map(tasks.square, range(5))


def test_more_cores_in_the_middle(fake: Callable[..., FakeRay]) -> None:
    ray = fake(1)

    def grow(index: int, _: int) -> None:
        ray.cores = 4

    with Workers("ray") as workers:
        workers.map(tasks.square, range(12), on_done=grow)
    assert len(ray.killed) == 4


@pytest.mark.parametrize(
    ("cores", "fates", "message"),
    [
        (1, {"_0": "old"}, f"node node-1 has reverie 0.0.0, expected {reverie.__version__} as here; install it"),
        (
            1,
            {"_0": "unborn", "_1": "unborn", "_2": "unborn"},
            "workers do not start on the Ray cluster (ModuleNotFoundError: reverie); "
            f"every node needs Python {module.PYTHON} and reverie {reverie.__version__}",
        ),
        (0, {}, "no worker started on the cluster in 0 s; `ray status` shows which cores are free"),
    ],
)
def test_a_cluster_that_cannot_work(
    fake: Callable[..., FakeRay], cores: int, fates: dict[str, str], message: str
) -> None:
    fake(cores, **fates)
    with Workers("ray") as workers, pytest.raises(ReverieError) as caught:
        workers.map(tasks.square, range(5))
    assert str(caught.value) == message


def test_what_tasks_share_is_put_once(fake: Callable[..., FakeRay]) -> None:
    ray, weights = fake(2), bytes(1000)
    with Workers("ray") as workers:
        assert workers.map(tasks.reverse, [weights] * 6, shared=[weights]) == [weights] * 6
        assert workers.map(tasks.reverse, [weights] * 6, shared=[weights]) == [weights] * 6
    assert len(ray.puts) == 1


def test_an_exception_of_a_task_is_raised_here(fake: Callable[..., FakeRay]) -> None:
    ray = fake(2)
    with Workers("ray") as workers:
        with pytest.raises(ValueError, match="no such thing"):
            workers.map(tasks.fail, ["", "value", ""])
        assert workers.map(tasks.square, [7]) == [49]
    assert len(ray.killed) == 3


def test_ray_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ReverieError) as caught:
        Workers("ray")
    assert str(caught.value) == "--workers ray needs Ray, which is not installed: pip install 'reverie[ray]'"
