"""Workers on a Ray cluster, behind `Workers`: one for each core of each node, as nodes come and go.

Ray's own retries stay off: `Schedule` decides what is tried again, when and where. Imported only where it is used.
"""

from __future__ import annotations

import logging
import os
import pickle
import platform
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import reverie
from reverie.errors import ReverieError
from reverie.progress import announce
from reverie.workers.parcel import Freight, Packer
from reverie.workers.schedule import LEAST_LATE_S, Schedule

LOCAL = "ray"  # the word for a cluster on this machine, or the one that RAY_ADDRESS names
PYTHON = ".".join(platform.python_version_tuple()[:2])
POLL_SECONDS = 0.2
LOOK_SECONDS = 2.0  # between two looks at how many cores the cluster has
NOBODY_SECONDS = 300.0  # what the first worker has to start, and the next one where all are gone
TIDY_SECONDS = 5.0
DEFAULTS = {
    "RAY_AUTH_MODE": "token",  # else whoever reaches the ports runs code
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # Ray's new behaviour, without a warning about the old one
}

logger = logging.getLogger("reverie.workers")


def connect(address: str) -> None:
    """Join the cluster at `address`, "ray" or "ray://HOST:PORT" or "HOST:PORT", unless this process has joined one."""
    if "ray" not in sys.modules:  # it reads them when it is imported
        os.environ.update(DEFAULTS | os.environ)
    try:
        import ray
    except ImportError:
        raise ReverieError(
            f"--workers {address} needs Ray, which is not installed: pip install 'reverie[ray]'"
        ) from None
    if ray.is_initialized():
        return
    where: dict[str, Any] = {"address": address, "logging_level": logging.ERROR, "log_to_driver": False}
    if address == LOCAL:
        where["address"] = os.environ.get("RAY_ADDRESS")
        where |= {} if where["address"] else {"include_dashboard": False}
    elif address.startswith("ray://"):  # which takes no more words
        where = {"address": address}
    try:
        ray.init(**where)
    except Exception as error:  # Ray raises a dozen kinds, down to RuntimeError
        said = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ReverieError(
            f"no Ray cluster answers at {address} ({said}); check that `ray status` works there, that this machine "
            "has the same Ray and that it holds the cluster's token (docs/how-to/cluster.md)"
        ) from error


class _Seat:
    """A worker as it is seen from here; `ready` once it has said that it started."""

    def __init__(self, handle: Any) -> None:
        self.handle = handle
        self.ready = False
        self.asked = False  # whether it lives, and has not answered yet
        self.round = 0  # the `map` that its task belongs to
        self.since = 0.0  # monotonic seconds at which that task was sent


class Cluster:
    """The workers of the Ray cluster at `address`; `count` cores when it was joined."""

    def __init__(self, address: str) -> None:
        connect(address)
        import ray

        from reverie.workers.seat import Seat

        self._ray = ray
        self._actor: Any = ray.remote(num_cpus=1, max_restarts=0, scheduling_strategy="SPREAD")(Seat)
        self._scratch = tempfile.TemporaryDirectory(prefix="reverie-cluster-")
        self.scratch = Path(self._scratch.name)
        self.count = max(1, self._cores())
        self._session = secrets.token_hex(8)
        self._freight = Freight(ray.put)
        self._seats: dict[Any, _Seat] = {}  # by the reference to what each will say next; idle ones stand in _idle
        self._idle: list[_Seat] = []
        self._round = 0
        self._looked = self._heard = time.monotonic()
        self._failed_starts = 0
        announce(f"Ray cluster: {self.count} cores on {len(self._nodes())} nodes")

    def map(
        self,
        function: Callable[[Any], Any],
        tasks: Sequence[Any],
        report: Callable[[int, Any], None],
        deadline: float | None,
        files: Sequence[Path],
        shared: Sequence[object],
    ) -> list[Any]:
        """As `Workers.map`."""
        self._round += 1
        schedule, packer = Schedule(len(tasks), deadline), self._freight.load(files, shared)
        results: dict[int, Any] = {}
        self._looked, self._heard = 0.0, time.monotonic()
        while schedule.left:
            self._staff(schedule)
            self._hand_out(schedule, packer, function, tasks)
            for index, value in self._take_in(schedule):
                results[index] = value
                report(index, value)
            for seat, seconds in list(schedule.late(time.monotonic())):
                assert isinstance(seat, _Seat)
                self._drop(seat, schedule, f"took longer than {seconds:.0f} s")
        return [results[index] for index in range(len(tasks))]

    def close(self, grace: float) -> None:
        """Let all workers go, and on each node the files that they copied."""
        self.drop_all() if grace == 0 else self._leave()
        self._scratch.cleanup()

    def drop_all(self) -> None:
        """Let all workers go, whatever they are at."""
        for seat in [*self._idle, *self._seats.values()]:
            self._kill(seat)
        self._idle.clear()
        self._seats.clear()

    def _leave(self) -> None:
        tidied = [seat.handle.tidy.remote() for seat in self._idle]
        if tidied:
            self._ray.wait(tidied, num_returns=len(tidied), timeout=TIDY_SECONDS)
        self.drop_all()

    def _staff(self, schedule: Schedule) -> None:
        """Ask for a worker for each core that has none, where there are tasks for it."""
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        for seat in list(self._seats.values()):  # at a task that another one ended, in an earlier `map`
            if seat.ready and not seat.asked and seat.round < self._round and now - seat.since > LEAST_LATE_S:
                self._drop(seat, schedule, f"took longer than {LEAST_LATE_S:.0f} s")
        for _ in range(min(self._cores(), schedule.left) - len(self._seats) - len(self._idle)):
            self._ask(_Seat(self._actor.remote(self._session)))
        if any(seat.ready and not seat.asked for seat in [*self._idle, *self._seats.values()]):
            self._heard = now
        elif now - self._heard > NOBODY_SECONDS:
            raise ReverieError(
                f"no worker started on the cluster in {NOBODY_SECONDS:.0f} s; `ray status` shows which cores are free"
            )

    def _ask(self, seat: _Seat) -> None:
        """Have a worker say that it is there before it gets a task."""
        seat.asked = True
        self._seats[seat.handle.about.remote()] = seat

    def _hand_out(
        self, schedule: Schedule, packer: Packer, function: Callable[[Any], Any], tasks: Sequence[Any]
    ) -> None:
        for seat in list(self._idle):
            index = schedule.next(seat, time.monotonic())
            if index is None:
                return
            self._idle.remove(seat)
            seat.round, seat.since = self._round, time.monotonic()
            self._seats[seat.handle.run.remote(packer.pack((function, tasks[index])), packer.items)] = seat

    def _take_in(self, schedule: Schedule) -> list[tuple[int, Any]]:
        """The results that have come in, once at least one has or `POLL_SECONDS` are over."""
        pending = list(self._seats)
        if pending:
            self._ray.wait(pending, num_returns=1, timeout=POLL_SECONDS)
        else:
            time.sleep(POLL_SECONDS)
        done = self._ray.wait(pending, num_returns=len(pending), timeout=0)[0] if pending else []
        found = []
        for reference in done:
            seat = self._seats.pop(reference)
            try:
                said = self._ray.get(reference)
            except self._ray.exceptions.RayError as error:
                self._mourn(seat, schedule, error)
                continue
            self._idle.append(seat)
            if seat.asked:
                self._welcome(seat, *said)
            elif seat.round == self._round:
                index = schedule.ended(seat, time.monotonic())
                succeeded, value = pickle.loads(said)
                if not succeeded and index is not None:
                    raise value
                if index is not None:
                    found.append((index, value))
        return found

    def _welcome(self, seat: _Seat, version: str, node: str) -> None:
        seat.ready, seat.asked = True, False
        if version != reverie.__version__:
            raise ReverieError(f"node {node} has reverie {version}, expected {reverie.__version__} as here; install it")

    def _mourn(self, seat: _Seat, schedule: Schedule, error: Exception) -> None:
        """A worker died, alone or with its node: then idle ones are gone too, and no task should find out."""
        said = str(error).strip().splitlines() or [type(error).__name__]
        self._kill(seat)
        self._looked = 0.0  # its core may be free
        while self._idle:
            self._ask(self._idle.pop())
        if seat.ready:
            logger.warning("a worker of the cluster died (%s); what it was at is tried again", said[0])
            schedule.lost(seat, "died")
            return
        self._failed_starts += 1
        if self._failed_starts >= 3 and not any(seat.ready for seat in [*self._idle, *self._seats.values()]):
            raise ReverieError(
                f"workers do not start on the Ray cluster ({said[-1].strip()}); "
                f"every node needs Python {PYTHON} and reverie {reverie.__version__}"
            )

    def _drop(self, seat: _Seat, schedule: Schedule, how: str) -> None:
        logger.warning("a worker of the cluster %s; it is given up, its task is tried again", how)
        self._seats = {reference: other for reference, other in self._seats.items() if other is not seat}
        self._kill(seat)
        self._looked = 0.0
        schedule.lost(seat, how)

    def _kill(self, seat: _Seat) -> None:
        self._ray.kill(seat.handle, no_restart=True)

    def _cores(self) -> int:
        return int(self._ray.cluster_resources().get("CPU", 0))

    def _nodes(self) -> list[Any]:
        return [node for node in self._ray.nodes() if node["Alive"]]
