"""A disk that is full, or read-only: `unshare -rm python -m tests.chaos.confined FOLDER SEED TIMES` has its own.

FOLDER/disk becomes a small file system in memory. A run is begun on it that does not fit; each time that it says so, it
gets more room and is given again; in between the file system is read-only for one attempt. The finished run is copied
to FOLDER/run, and what happened is printed as one JSON object.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

from tests.chaos.launching import import_libraries, launch
from tests.small_runs import small_run

ENOUGH_MB = 600  # for the run
UNSHARE = ["unshare", "-rm"]


def is_possible() -> bool:
    """Whether this machine lets us have a file system of our own."""
    probe = [*UNSHARE, "sh", "-c", "mount -t tmpfs none /mnt"]
    try:
        return subprocess.run(probe, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def main(folder: Path, seed: int, times: int) -> None:
    """Run on disks that are too small, at most so many times, and then on one that is not."""
    import_libraries()
    rng = np.random.default_rng(seed)
    disk = folder / "disk"
    disk.mkdir(parents=True)
    megabytes = int(rng.integers(1, 40))
    _mount(disk, f"size={megabytes}m")
    found: dict[str, list[str]] = {"full": [], "read-only": [], "wrong": []}
    while True:
        code, said = _attempt(disk / "run", folder)
        if code == 0:
            break
        _judge(code, said, found, "full", "No space left on device", "free some space")
        _mount(disk, "remount,ro")
        _judge(*_attempt(disk / "run", folder), found, "read-only", "cannot write in", "Read-only file system")
        megabytes = ENOUGH_MB if len(found["full"]) >= times else megabytes + int(rng.integers(5, 50))
        _mount(disk, f"remount,rw,size={megabytes}m")
        if found["wrong"]:
            break
    shutil.copytree(disk / "run", folder / "run")
    print(json.dumps(found | {"last": code}))


def _attempt(run: Path, folder: Path) -> tuple[int | None, str]:
    command = launch(small_run(run), folder / "scratch")
    return command.wait(3000), command.log.read_text()


def _judge(code: int | None, said: str, found: dict[str, list[str]], kind: str, *expected: str) -> None:
    """An error of ours in one line: exit code 2."""
    complaints = [line for line in said.splitlines() if line.startswith("reverie: ")]
    if code == 2 and len(complaints) == 1 and any(words in complaints[0] for words in expected):
        found[kind].append(complaints[0])
    else:
        found["wrong"].append(f"{kind}: exit code {code}: {said[-1500:]}")


def _mount(place: Path, options: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(place)], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
