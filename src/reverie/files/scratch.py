"""Folders for a while, among the machine's temporary ones; what a killed process leaves the next one removes."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reverie.files.atomic import is_running

_NAME = re.compile(r"reverie-[a-z]+-(\d+)-\w+")


@contextmanager
def scratch_folder(purpose: str) -> Iterator[Path]:
    """An empty folder named after `purpose` (one word) and this process, gone after a `with` block."""
    sweep_scratch()
    with tempfile.TemporaryDirectory(prefix=f"reverie-{purpose}-{os.getpid()}-") as folder:
        yield Path(folder)


def sweep_scratch() -> None:
    """Remove the scratch folders of processes that are gone; those of others' that may not be removed stay."""
    for folder in Path(tempfile.gettempdir()).glob("reverie-*"):
        match = _NAME.fullmatch(folder.name)
        if match and not is_running(int(match[1])):
            shutil.rmtree(folder, ignore_errors=True)
