"""Cases are measured in this process and on tiny sizes: what they compute is tested, not how fast."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import pytest

from reverie.bench import collecting, dreams, played, remembering, searching, seeing
from reverie.bench.timing import Setting
from reverie.episodes.block import close_world
from reverie.hardware import single_thread
from reverie.learning.arena import close_arenas


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
    for module in (collecting, dreams, played, remembering, searching, seeing):
        monkeypatch.setattr(module, "Workers", Here)
    with single_thread():
        yield Setting(tmp_path, workers=2, threads=1, repeats=1, effort=0.02)
    close_arenas()
    close_world()
    for world in played._opened.values():
        world.close()
    played._opened.clear()
