"""`reverie bench`: measure the chosen cases one after the other."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from reverie.bench.catalogue import Case, choose
from reverie.bench.load import LoadWatch
from reverie.bench.result import Row, absent, row
from reverie.bench.table import as_table
from reverie.bench.timing import Setting
from reverie.errors import ReverieError
from reverie.files.scratch import scratch_folder
from reverie.hardware import compute_dtype, core_count
from reverie.progress import progress
from reverie.workers.pool import Workers


def bench(names: Sequence[str] = (), repeats: int = 3, effort: float = 1.0) -> list[Row]:
    """The rows of the named cases (all, where none is named), each measured from a process of its own.

    Raises: ReverieError for an unknown name. A case that this machine cannot run becomes a row that says why.
    """
    rows = []
    cases = choose(names)
    with progress(len(cases), "bench", "cases") as bar, _quiet():
        for case in cases:
            with scratch_folder("bench") as folder, Workers(1) as pool:
                setting = Setting(folder, repeats=repeats, effort=effort)
                rows += pool.map(measure, [(case, setting)])  # what one case leaves in memory is not the next one's
            bar.advance(1)
    return rows


def measure(task: tuple[Case, Setting]) -> Row:
    """One case, and whether other programs disturbed it."""
    case, setting = task
    try:
        with LoadWatch() as load:
            measured = case.measure(setting)
    except ReverieError as error:
        return absent(case.name, case.unit, case.falling, case.target, str(error))
    return row(case.name, case.unit, case.falling, case.target, measured, load.others)


def report(rows: Sequence[Row]) -> str:
    """The table, under a line about the machine."""
    return as_table(rows, ", ".join(f"{name} {value}" for name, value in machine().items()))


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    import torch

    dtype = str(compute_dtype()).removeprefix("torch.")
    return {"processor": _processor(), "cores": core_count(), "matrices": dtype, "torch": torch.__version__}


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences the bars of what is measured, here and in workers."""
    before = os.environ.get("REVERIE_QUIET")
    os.environ["REVERIE_QUIET"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["REVERIE_QUIET"]
        else:
            os.environ["REVERIE_QUIET"] = before
