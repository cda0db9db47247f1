"""`reverie bench`: the cases by name, what each is to reach, and measuring the chosen ones one after the other."""

from __future__ import annotations

import difflib
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reverie.bench.measuring import LoadWatch, Setting
from reverie.bench.result import Row, Target, absent, as_table, row
from reverie.errors import ReverieError
from reverie.files.scratch import scratch_folder
from reverie.hardware import compute_dtype, core_count
from reverie.progress import progress
from reverie.workers.pool import Workers

if TYPE_CHECKING:
    from reverie.bench.measuring import Setting
    from reverie.bench.result import Measured


@dataclass(frozen=True)
class Case:
    """One row of the table.

    function: "module:name" within this room, imported when the case is measured
    falling: less is better
    """

    name: str
    unit: str
    function: str
    target: Target
    falling: bool = False

    def measure(self, setting: Setting) -> Measured:
        """Run it."""
        module, _, name = self.function.partition(":")
        measure: Callable[[Setting], Measured] = getattr(import_module(f"reverie.bench.{module}"), name)
        return measure(setting)


CASES = (
    Case("dream-doom", "steps/s", "dreams:doom", Target(ours=80_000, share=0.6)),
    Case("dream-car", "steps/s", "dreams:car", Target(ours=200_000)),
    Case("dream-live", "live steps/s", "dreams:live", Target(share=0.8)),
    Case("world-car", "steps/s", "rollouts:play_car", Target(ours=1_400, ratio=15)),
    Case("world-doom", "steps/s", "rollouts:play_doom", Target(ours=2_500)),
    Case("collect-doom", "frames/s", "rollouts:collect_doom", Target(ours=5_500)),
    Case("collect-car", "frames/s", "rollouts:collect_car", Target(ours=1_900)),
    Case("vision-train", "frames/s", "vision:train", Target(ours=800)),
    Case("vision-encode", "frames/s", "vision:encode", Target(ours=9_000)),
    Case("memory-train-doom", "steps/s", "memory:train_doom", Target(ratio=2)),
    Case("memory-train-car", "steps/s", "memory:train_car", Target(ratio=2)),
    Case("cma", "s a generation", "cmaes:ask_and_tell", Target(share=0.05), falling=True),
    Case("import", "s", "startup:import_reverie", Target(ours=0.15), falling=True),
    Case("help", "s", "startup:show_help", Target(ours=0.4), falling=True),
    Case("workers", "steps/s", "dreams:two_workers", Target(ratio=1.8)),
)


def choose(names: Sequence[str]) -> tuple[Case, ...]:
    """The cases of these names in the table's order, all of them where none is named.

    A name may be the first word of several: `dream` means dream-doom, dream-car and dream-live.
    """
    chosen = {case for name in names for case in _named(name)}
    return tuple(case for case in CASES if case in chosen) if names else CASES


def _named(name: str) -> list[Case]:
    matching = [case for case in CASES if case.name == name or case.name.startswith(f"{name}-")]
    if not matching:
        near = difflib.get_close_matches(name, [case.name for case in CASES], n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ReverieError(f"no case {name!r}, expected some of {', '.join(case.name for case in CASES)}{hint}")
    return matching


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
