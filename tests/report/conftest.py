from __future__ import annotations

from collections.abc import Iterator

import pytest

from reverie.evaluation.shards import close_worlds
from reverie.hardware import single_thread
from reverie.play.env_spec import close_envs


@pytest.fixture(autouse=True)
def quiet_and_single_threaded(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("REVERIE_QUIET", "1")
    with single_thread():
        yield
    close_worlds()
    close_envs()
