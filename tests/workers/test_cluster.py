"""Workers on a Ray cluster of three nodes on this machine: the same results as here, whoever leaves."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from reverie.errors import ReverieError
from reverie.workers.pool import Workers
from tests.small_runs import small_run
from tests.workers import tasks

NODE: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 80 * 2**20}  # Ray's least
PATIENCE = {  # a busy machine takes long to start four nodes
    "RAY_health_check_timeout_ms": "60000",
    "RAY_worker_register_timeout_seconds": "600",
    "RAY_agent_register_timeout_ms": "1000000",
    "RAY_gcs_server_request_timeout_seconds": "600",
    "RAY_gcs_rpc_server_connect_timeout_s": "300",
    "RAY_py_gcs_connect_timeout_s": "300",
}

pytestmark = [
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install 'reverie[ray]'"),
    pytest.mark.timeout(1800),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::FutureWarning"),
]


class SlowClock:
    """`time`, for the code that gives a node 30 s to start: too little on a machine that is busy with other work."""

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    def monotonic(self) -> float:
        return time.monotonic() / 20


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Three nodes of one core each, and a head that has none; with a token."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", "0123456789abcdef" * 4)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        for name, value in PATIENCE.items():
            patch.setenv(name, value)
        import ray  # only now: it reads those when it is imported
        from ray.cluster_utils import Cluster

        patch.setattr("ray._private.node.time", SlowClock())
        head = NODE | {"num_cpus": 0, "include_dashboard": False}
        nodes = Cluster(initialize_head=True, head_node_args=head)
        nodes.reverie_nodes = [nodes.add_node(**NODE) for _ in range(3)]
        yield nodes
        ray.shutdown()
        nodes.shutdown()


def test_results_and_bits_are_those_of_this_process(cluster: Any) -> None:
    done: list[tuple[int, int]] = []
    with Workers(0) as here, Workers(cluster.address) as there:
        assert there.count == 3
        results = there.map(tasks.square, range(7), on_done=lambda index, result: done.append((index, result)))
        assert results == [number**2 for number in range(7)]
        assert sorted(done) == list(enumerate(results))
        assert there.map(tasks.square, []) == []
        assert there.map(tasks.product, range(3)) == here.map(tasks.product, range(3))
        workers = {process for process, _ in there.map(tasks.process, range(20))}
        assert os.getpid() not in workers
        assert len(workers) <= 3


def test_files_arrive_as_copies_and_go_with_the_pool(cluster: Any, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_bytes(b"heavy")
    with Workers(cluster.address) as workers:
        assert workers.scratch is not None
        scratch = workers.scratch
        found = workers.map(tasks.read_below, [tmp_path / "model"] * 4, files=[tmp_path / "model"])
        assert {content for content, _ in found} == {b"heavy"}
        assert all(path != tmp_path / "model" and path.name == "model" and path.exists() for _, path in found)
    assert not any(path.exists() for _, path in found)
    assert not scratch.exists()


def test_an_exception_of_a_task_is_raised_here(cluster: Any) -> None:
    with Workers(cluster.address) as workers:
        with pytest.raises(ValueError, match="no such thing") as caught:
            workers.map(tasks.fail, ["", "value", ""])
        assert 'raise ValueError("no such thing")' in caught.value.__notes__[0]
        assert workers.map(tasks.square, [7]) == [49]


def test_a_worker_that_dies_changes_nothing(cluster: Any, tmp_path: Path) -> None:
    with Workers(cluster.address) as workers:
        assert workers.map(tasks.die_once, [(tmp_path, number) for number in range(3)]) == [0, 1, 4]
        with pytest.raises(ReverieError, match=r"^the worker of task 0 died 3 times; look at the nodes' logs"):
            workers.map(tasks.signal_self, [signal.SIGKILL])


def test_a_worker_that_hangs_is_given_up(cluster: Any, tmp_path: Path) -> None:
    with Workers(cluster.address) as workers:
        results = workers.map(tasks.hang_once, [(tmp_path, number) for number in range(3)], deadline_s=5.0)
        assert results == [0, 1, 4]


def test_a_straggler_holds_nobody_up(cluster: Any, tmp_path: Path) -> None:
    """No deadline was given, and none has passed: an idle worker does the hanging task as well."""
    with Workers(cluster.address) as workers:
        workers.map(tasks.square, range(6))
        started = time.monotonic()
        assert workers.map(tasks.hang_at_two, [(tmp_path, number) for number in range(6)]) == [0, 1, 4, 9, 16, 25]
        assert time.monotonic() - started < 55
        assert workers.map(tasks.square, range(4)) == [0, 1, 4, 9]


def test_an_address_where_nobody_is(monkeypatch: pytest.MonkeyPatch, cluster: Any) -> None:
    import ray

    from reverie.workers import cluster as module

    def refuse(**_: Any) -> None:
        raise ConnectionError("Could not find a running Ray instance\nat that address")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(ReverieError) as caught:
        module.connect("10.0.0.1:6379")
    assert str(caught.value) == (
        "no Ray cluster answers at 10.0.0.1:6379 (Could not find a running Ray instance); check that `ray status` "
        "works there, that this machine has the same Ray and that it holds the cluster's token (docs/how-to/cluster.md)"
    )


def test_a_node_that_leaves_changes_nothing(cluster: Any, tmp_path: Path) -> None:
    """Last, since the cluster is smaller afterwards; then a new node takes its place in the middle."""
    with Workers(cluster.address) as workers:
        nodes = {node for _, node in workers.map(tasks.where, [0.5] * 6)}
        assert len(nodes) == 3
        removing = threading.Timer(1.0, lambda: cluster.remove_node(cluster.reverie_nodes[0], allow_graceful=False))
        removing.start()
        found = workers.map(tasks.where, [0.5] * 16)
        removing.join()
        assert [number for number, _ in found] == [0.5] * 16
        added: list[Any] = []

        def add(index: int, result: tuple[float, str]) -> None:
            if not added:
                added.append(cluster.add_node(**NODE))

        later = [node for _, node in workers.map(tasks.where, [0.5] * 60, on_done=add)]
        assert len(set(later) - nodes) == 1


def test_a_run_ends_with_the_same_bits(
    cluster: Any, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that spreads, as `reverie run` spreads it, while one more node leaves in the middle of the search."""
    from reverie.cli import main
    from reverie.hardware import single_thread

    run = tmp_path / "run"
    words = small_run(run)
    words[words.index("--workers") + 1] = cluster.address
    left = threading.Event()

    def leave() -> None:
        while not [*(run / "controller").rglob("metrics.jsonl")]:
            time.sleep(0.05)
        cluster.remove_node(cluster.reverie_nodes[1], allow_graceful=False)
        left.set()

    threading.Thread(target=leave, daemon=True).start()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with single_thread(), pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 0
    assert left.wait(timeout=60)
    for pattern in ("rollouts/episodes/*", "memory/step-*", "controller/*/step-*", "scores/*.json"):
        expected = sorted(finished.glob(pattern))
        assert expected
        for file in expected:
            assert (run / file.relative_to(finished)).read_bytes() == file.read_bytes(), file
