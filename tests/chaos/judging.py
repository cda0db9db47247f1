"""Whether a run that was disturbed is the one that nothing disturbed, and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.small_runs import PHASES

RATES = {"frames_per_second", "updates_per_second", "seconds"}
PROBE = b"blat"


def differences(run: Path, reference: Path) -> list[str]:
    """What of a finished run is not as the undisturbed one has it, bit for bit; empty where all is."""
    from reverie.episodes.store import Store

    found = [] if Store(run / "rollouts").entries == Store(reference / "rollouts").entries else ["rollouts"]
    if not (reference / "vision").exists():  # only collected
        return found
    for stage in ("vision", "memory", *(f"controller/{phase}" for phase in PHASES)):
        if _checkpoint(run / stage) != _checkpoint(reference / stage):
            found.append(f"{stage}'s checkpoint")
        if _rows(run / stage) != _rows(reference / stage):
            found.append(f"{stage}'s metrics")
    files, expected = _files(run), _files(reference)
    return found + [name for name in expected if files.get(name) != expected[name]]


def faults_of(run: Path) -> list[str]:
    """What `reverie verify` says of a run."""
    from reverie.runs.verify import verify_run

    if not (run / "config.json").exists():  # killed before it was made
        return []
    return [f"{problem.file} {problem.problem}" for problem in verify_run(run)]


def strays(*folders: Path) -> list[str]:
    """Temporary files, and anything in a scratch folder but the cache that torch keeps there and Python's probe."""
    run, *scratch = folders
    left = [str(path) for path in run.rglob("*.tmp")]
    found = [path for folder in scratch for path in folder.rglob("*") if not (path.parent == folder and _probes(path))]
    return left + [str(path) for path in found if not any(part.startswith("torchinductor_") for part in path.parts)]


def _probes(path: Path) -> bool:
    """Whether it is what `tempfile` writes to find out whether a folder can be written to, of at most 4 bytes.

    A process that is killed between writing and removing it leaves it; nobody but Python could do otherwise.
    """
    return path.is_file() and path.stat().st_size <= len(PROBE) and PROBE.startswith(path.read_bytes())


def _checkpoint(folder: Path) -> Any:
    from reverie.files.checkpoint import latest_checkpoint

    checkpoint = latest_checkpoint(folder)
    assert checkpoint is not None, folder
    return checkpoint.step, checkpoint.state, _bits(checkpoint.arrays)


def _rows(folder: Path) -> list[dict[str, Any]]:
    from reverie.files.metrics import read_metrics

    rows = read_metrics(folder / "metrics.jsonl")
    return [{name: value for name, value in row.items() if name not in RATES} for row in rows]


def _files(run: Path) -> dict[str, bytes]:
    """What is written once: equal contents are equal files."""
    files = [*(run / "latents").glob("*.safetensors"), run / "controller" / "best.safetensors"]
    files += (run / "scores").glob("*.json")
    return {file.name: file.read_bytes() for file in sorted(files)}


def _bits(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    return {name: (array.dtype, array.shape, array.tobytes()) for name, array in arrays.items()}
