"""M's tests compute on one thread: their arrays are too small to share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from reverie.hardware import single_thread


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("REVERIE_QUIET", "1")
    with single_thread():
        yield
