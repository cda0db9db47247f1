"""What the tests of the pipeline share: one thread, no progress bars, nothing left open."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from reverie.hardware import single_thread
from reverie.play.env_spec import close_envs
from reverie.runs.export import export_run
from reverie.runs.run_folder import open_run


@pytest.fixture(autouse=True)
def quiet_and_single_threaded(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("REVERIE_QUIET", "1")
    with single_thread():
        yield
    close_envs()


@pytest.fixture(scope="session")
def exported(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The export of the small run, named "follow"; copy it (`copy_run`) to change it."""
    return export_run(open_run(finished), tmp_path_factory.mktemp("exported") / "follow").path
