"""Folders for a while, and what processes that were killed left of theirs."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from reverie.files.scratch import scratch_folder


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_it_is_there_for_a_while(temporary: Path) -> None:
    with scratch_folder("lab") as folder:
        assert folder.parent == temporary
        assert folder.name.startswith(f"reverie-lab-{os.getpid()}-")
        (folder / "file").touch()
    assert list(temporary.iterdir()) == []


def test_what_a_killed_process_left_goes_and_nothing_else(temporary: Path) -> None:
    code = "import os, signal; from reverie.files.scratch import scratch_folder\n"
    code += "with scratch_folder('native') as folder: (folder / 'file').touch(); os.kill(os.getpid(), signal.SIGKILL)"
    subprocess.run([sys.executable, "-c", code], env=os.environ | {"TMPDIR": str(temporary)}, check=False)
    (left,) = temporary.iterdir()
    assert (left / "file").exists()
    others = ("reverie-notes", "reverie-doom-abc", left.name.removeprefix("reverie-"))
    for name in others:
        (temporary / name).mkdir()
    with scratch_folder("native") as mine, scratch_folder("native") as other:
        assert {path.name for path in temporary.iterdir()} == {*others, mine.name, other.name}


def test_a_link_is_not_followed(temporary: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    target = tmp_path_factory.mktemp("target")
    (target / "file").touch()
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    (temporary / f"reverie-lab-{int(gone.stdout)}-x").symlink_to(target)
    with scratch_folder("lab"):
        assert (target / "file").exists()
