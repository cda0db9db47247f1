"""The house's rules: imports point up the page, the command line stays light, nothing unpickles."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import reverie

SOURCE = Path(reverie.__file__).parent

# A room may import the rooms before it, and itself.
ROOMS = [
    "errors",
    "hardware",
    "settings",
    "files",
    "native",
    "progress",
    "tracking",
    "workers",
    "worlds",
    "episodes",
    "vision",
    "memory",
    "controller",
    "agent",
    "dream",
    "play",
    "learning",
    "evaluation",
    "recipe",
    "agents",
    "report",
    "runs",
    "reproduction",
    "studies",
    "lab",
    "bench",
    "interface",
    "cli",
    "__main__",
]


def room_of(module: str) -> str:
    return module.split(".")[1]


def modules() -> list[Path]:
    return [path for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py"]


def imported_modules(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.append(node.module)
        elif isinstance(node, ast.Import):
            found.extend(name.name for name in node.names)
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_up_the_page(path: Path) -> None:
    here = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    assert here in ROOMS, f"{here} is a room that docs/architecture.md and this test do not know"
    for module in imported_modules(path):
        if module.startswith("reverie."):
            there = room_of(module)
            assert ROOMS.index(there) <= ROOMS.index(here), f"{here} imports {there}, which stands below it"


# Tasks and results travel as pickles between our own processes, over a private pair of sockets or
# a cluster with its token; no file is read so.
TALKERS = ("pool.py", "worker.py", "process.py", "parcel.py", "cluster.py", "seat.py")
PROCESS_TALK = {SOURCE / "workers" / name for name in TALKERS}


@pytest.mark.parametrize("path", sorted(set(modules()) - PROCESS_TALK), ids=lambda path: str(path.relative_to(SOURCE)))
def test_nothing_unpickles(path: Path) -> None:
    assert not {"pickle", "dill", "cloudpickle", "joblib", "shelve"} & set(imported_modules(path))
    text = path.read_text()
    assert "torch.load(" not in text
    assert "allow_pickle=True" not in text


@pytest.mark.parametrize("module", ["reverie", "reverie.cli", "reverie.recipe.presets"])
def test_light_modules_leave_the_heavy_libraries_alone(module: str) -> None:
    heavy = ["torch", "cma", "vizdoom", "envpool", "matplotlib", "av", "blosc2", "gymnasium"]
    code = f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"
