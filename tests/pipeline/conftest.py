"""What the tests of the pipeline share: one thread, no progress bars, nothing left open."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from reverie.evolution.arena import close_arenas
from reverie.hardware import single_thread


@pytest.fixture(autouse=True)
def quiet_and_single_threaded(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("REVERIE_QUIET", "1")
    with single_thread():
        yield
    close_arenas()
