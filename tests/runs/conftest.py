"""What the tests of the pipeline share: one thread, no progress bars, nothing left open."""

from __future__ import annotations

from pathlib import Path

import pytest

from reverie.runs.export import export_run
from reverie.runs.run_folder import open_run
from tests.env_specs import quiet_and_single_threaded


@pytest.fixture(scope="session")
def exported(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The export of the small run, named "follow"; copy it (`copy_run`) to change it."""
    return export_run(open_run(finished), tmp_path_factory.mktemp("exported") / "follow").path


__all__ = ["quiet_and_single_threaded"]
