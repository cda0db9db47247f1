"""Cases are measured in this process and on tiny sizes: what they compute is tested, not how fast."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import pytest

from reverie.bench import cmaes, dreams, memory, rollouts, vision
from reverie.bench.measuring import Setting
from reverie.hardware import single_thread
from reverie.play.block import close_world
from reverie.play.env_spec import close_envs


class Here:
    """A pool that runs its tasks in this process, whatever its `count`."""

    scratch = None

    def __init__(self, count: int) -> None:
        self.count = count

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def map(
        self,
        function: Callable[[Any], Any],
        tasks: Sequence[Any],
        *,
        on_done: Callable[[int, Any], None] | None = None,
        files: Sequence[Path] = (),
        shared: Sequence[Any] = (),
    ) -> list[Any]:
        results = []
        for index, task in enumerate(tasks):
            results.append(function(task))
            if on_done:
                on_done(index, results[-1])
        return results


@pytest.fixture
def setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Setting]:
    """The least effort, with pools that are not processes."""
    monkeypatch.setenv("REVERIE_QUIET", "1")
    for module in (rollouts, dreams, memory, cmaes, vision):
        monkeypatch.setattr(module, "Workers", Here)
    with single_thread():
        yield Setting(tmp_path, workers=2, threads=1, repeats=1, effort=0.02)
    close_envs()
    close_world()
    rollouts.open_alone.cache_clear()
