"""The cases by name: what each measures, in which unit, and what it is to reach. Light, for the command line."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from reverie.bench.result import Target
from reverie.errors import ReverieError

if TYPE_CHECKING:
    from reverie.bench.result import Measured
    from reverie.bench.timing import Setting


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
    Case("world-car", "steps/s", "played:car", Target(ours=1_400, ratio=15)),
    Case("world-doom", "steps/s", "played:doom", Target(ours=2_500)),
    Case("collect-doom", "frames/s", "collecting:doom", Target(ours=5_500)),
    Case("collect-car", "frames/s", "collecting:car", Target(ours=1_900)),
    Case("vision-train", "frames/s", "seeing:train", Target(ours=800)),
    Case("vision-encode", "frames/s", "seeing:encode", Target(ours=9_000)),
    Case("memory-train-doom", "steps/s", "remembering:doom", Target(ratio=2)),
    Case("memory-train-car", "steps/s", "remembering:car", Target(ratio=2)),
    Case("cma", "s a generation", "searching:ask_and_tell", Target(share=0.05), falling=True),
    Case("import", "s", "starting:import_reverie", Target(ours=0.15), falling=True),
    Case("help", "s", "starting:show_help", Target(ours=0.4), falling=True),
    Case("workers", "steps/s", "dreams:two_workers", Target(ratio=1.8)),
)


def choose(names: Sequence[str]) -> tuple[Case, ...]:
    """The cases of these names in the table's order, all of them where none is named.

    A name may be the first word of several: `dream` means dream-doom, dream-car and dream-live.
    """
    chosen = {case for name in names for case in _named(name)}
    return tuple(case for case in CASES if case in chosen) if names else CASES


def _named(name: str) -> list[Case]:
    found = [case for case in CASES if case.name == name or case.name.startswith(f"{name}-")]
    if not found:
        near = difflib.get_close_matches(name, [case.name for case in CASES], n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ReverieError(f"no case {name!r}, expected some of {', '.join(case.name for case in CASES)}{hint}")
    return found
