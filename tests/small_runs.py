"""A whole run of the tiny world, made small enough for tests, and the command line in a process of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "REVERIE_QUIET": "0", "COLUMNS": "80"}

# 66 episodes are two parts of latents; 15 windows of M are an epoch; a generation is two tasks, one of 16 candidates
SMALL = {
    "collect.episodes": 66,
    "collect.max_steps": 8,
    "vision.batch_size": 8,
    "vision.updates": 6,
    "memory.hidden_size": 8,
    "memory.batch_size": 4,
    "memory.sequence_length": 8,
    "memory.updates": 12,
    "phases": "ppo:dream:3 ppo:world:2:all:num_envs=3 cmaes:dream:3",
    "ppo.num_envs": 6,
    "ppo.num_steps": 4,
    "cmaes.population": 18,
    "cmaes.episodes": 1,
    "cmaes.rescore_every": 2,
    "cmaes.rescore_episodes": 4,
    "evaluation_episodes": 12,
}
PHASES = ("1-ppo-dream", "2-ppo-world", "3-cmaes-dream")  # their folders


def settings(**changes: object) -> list[str]:
    """The words of the small run's settings; `vision__updates=3` changes one."""
    changed = SMALL | {name.replace("__", "."): value for name, value in changes.items()}
    return [part for name, value in changed.items() for part in (f"--{name}", *str(value).split())]


def small_run(folder: Path, **changes: object) -> list[str]:
    """The words of `reverie run` that make the small run in `folder`, in one process."""
    return ["run", "tiny", "--preset", "tiny", "--run-dir", str(folder), "--workers", "0", *settings(**changes)]


def reverie(*words: str, program: str = "reverie", timeout: float = 280) -> subprocess.CompletedProcess[str]:
    """`python -m reverie words...`, with what it printed."""
    command = [sys.executable, "-m", program, *words]
    return subprocess.run(
        command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=timeout, check=False
    )


def copy_run(run: Path, target: Path) -> Path:
    """A copy of hard links: replace a file to change it, or `run` changes too."""
    shutil.copytree(run, target, copy_function=os.link)
    return target


def replace(file: Path, content: bytes) -> None:
    """Put `content` at a file of a copied run."""
    file.unlink()
    file.write_bytes(content)


def flip(file: Path, place: float = 0.5) -> None:
    """Alter one byte of a file of a copied run, `place` of the way into it."""
    content = bytearray(file.read_bytes())
    content[int(len(content) * place)] ^= 1
    replace(file, bytes(content))


def snapshot(folder: Path) -> dict[str, tuple[int, int, int]]:
    """What tells whether any file below `folder` was written since."""
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    stats = {str(file.relative_to(folder)): file.stat() for file in files}
    return {name: (stat.st_ino, stat.st_size, stat.st_mtime_ns) for name, stat in stats.items()}
