"""The run folder: one folder that explains itself and from which the same command goes on."""

from __future__ import annotations

import fcntl
import importlib.metadata
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import reverie
from reverie.errors import DamagedFileError, ReverieError
from reverie.files.atomic import read_json, write_json
from reverie.pipeline.experiment import Experiment
from reverie.pipeline.settings import differences, from_json, to_json

FORMAT = 1
LIBRARIES = ("torch", "numpy", "gymnasium", "cma", "blosc2", "safetensors", "vizdoom", "envpool", "box2d")


@dataclass(frozen=True)
class RunFolder:
    """Where each stage of a run keeps its files."""

    path: Path
    experiment: Experiment

    @property
    def rollouts(self) -> Path:
        """The store of real episodes."""
        return self.path / "rollouts"

    @property
    def vision(self) -> Path:
        """V's checkpoints and metrics."""
        return self.path / "vision"

    @property
    def latents(self) -> Path:
        """The episodes' frames as V's latents."""
        return self.path / "latents"

    @property
    def memory(self) -> Path:
        """M's checkpoints and metrics."""
        return self.path / "memory"

    @property
    def controller(self) -> Path:
        """The evolution of C: CMA-ES states, metrics, the best parameters."""
        return self.path / "controller"

    @property
    def scores(self) -> Path:
        """One JSON file for each score."""
        return self.path / "scores"

    @property
    def report(self) -> Path:
        """The report, one HTML file."""
        return self.path / "report.html"

    @property
    def timings(self) -> dict[str, float]:
        """Wall seconds spent in each stage so far, over all sessions."""
        file = self.path / "timings.json"
        return read_json(file) if file.exists() else {}

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the wall time of a `with` block to `timings`, also when it is interrupted."""
        started = time.monotonic()
        try:
            yield
        finally:
            timings = self.timings
            timings[stage] = timings.get(stage, 0.0) + time.monotonic() - started
            write_json(self.path / "timings.json", timings)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run for this process; a second process that asks for it gets a clear error."""
        with open(self.path / "config.json", "rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ReverieError(
                    f"run folder {self.path} is in use by another process; wait for it or choose another --run-dir"
                ) from None
            yield


def create_run(path: Path, experiment: Experiment) -> RunFolder:
    """Make the folder for `experiment`, or open it where it is already there with the same settings.

    Raises: ReverieError where the folder belongs to another experiment (the differences are named) or holds
    something else.
    """
    config = path / "config.json"
    if not config.exists():
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise ReverieError(f"{path} exists and is not a run folder; choose another --run-dir")
        _make_folder(path)
        write_json(path / "versions.json", versions())
        write_json(config, {"format": FORMAT, "reverie": reverie.__version__, "experiment": to_json(experiment)})
        return RunFolder(path, experiment)
    found = open_run(path)
    changed = list(differences(to_json(found.experiment), to_json(experiment)))
    if changed:
        more = f" and {len(changed) - 4} more" if len(changed) > 4 else ""
        raise ReverieError(
            f"run folder {path} was made with other settings ({'; '.join(changed[:4])}{more}); "
            f"repeat the command it was made with, or choose another --run-dir"
        )
    return found


def open_run(path: Path) -> RunFolder:
    """Open a run folder that is there, checking its format and every setting."""
    config = path / "config.json"
    if not config.is_file():
        raise ReverieError(f"{path} is not a run folder (no config.json in it); 'reverie run WORLD' makes one")
    content = read_json(config)
    if not isinstance(content, dict) or "experiment" not in content:
        raise DamagedFileError(f"{config} does not hold a run's settings; restore it or start again in another folder")
    if content.get("format") != FORMAT:
        made_by = content.get("reverie", "an unknown version")
        raise ReverieError(
            f"run folder {path} has format {content.get('format')!r}, made by reverie {made_by}; reverie "
            f"{reverie.__version__} reads format {FORMAT}: use that version or start again in another folder"
        )
    return RunFolder(path, from_json(Experiment, content["experiment"], str(config)))


def versions() -> dict[str, Any]:
    """What the run was made with: Python, the machine, the libraries that are installed."""
    found: dict[str, Any] = {"reverie": reverie.__version__, "python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found | {"machine": platform.machine(), "system": platform.system(), "cores": os.cpu_count()}


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ReverieError(f"cannot make the run folder {path} ({error.strerror}); choose another --run-dir") from None
