"""Disturb runs in every way: `python -m tests.chaos [--kills 200]`; prints the counts, exits with 1 on a loss.

A loss is a run that does not finish by the same command, differs in a bit from the undisturbed one, holds a file that
`reverie verify` finds wrong after any fault, or leaves a process or a temporary file behind.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tests.chaos.launching import import_libraries

if TYPE_CHECKING:
    from tests.chaos.campaign import Campaign

WEIGHTS = (0.35, 0.45, 0.1, 0.1)  # of the kinds of kill -9: starting workers takes long


def main() -> int:
    """Run the campaign; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="kill -9 in all")
    parser.add_argument("--others", type=int, default=5, help="of each other fault")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--short", type=Path, help="one run that everything befalls, beside the finished one given")
    parser.add_argument("--json", type=Path, help="write the counts to this file, while it goes on too")
    words = parser.parse_args()
    import_libraries()
    with tempfile.TemporaryDirectory(prefix="reverie-chaos-") as folder:
        from tests.chaos.campaign import Campaign

        campaign, started = Campaign(Path(folder), words.seed, _tell), time.monotonic()
        for _ in _short(campaign, words.short) if words.short else _long(campaign, words):
            counts = campaign.tally.as_dict() | {"seed": words.seed, "seconds": round(time.monotonic() - started)}
            if words.json:
                words.json.write_text(json.dumps(counts, indent=2) + "\n")
            if campaign.tally.wrong:
                break
    print(json.dumps(counts, indent=2))
    return 1 if campaign.tally.wrong else 0


def _long(campaign: Campaign, words: argparse.Namespace) -> Iterator[None]:
    """Runs until there were as many faults of each kind as asked for; stops behind each."""
    from tests.chaos import confined, faults
    from tests.chaos.fragile import PATIENCE, WORLD

    os.environ.setdefault(PATIENCE, "60")  # for a machine that does other things too
    struck, rng, tiny = campaign.tally.struck, np.random.default_rng(words.seed), campaign.reference()
    while sum(struck[fault.name] for fault in faults.KILLS) < words.kills:
        campaign.disturb((faults.KILLS[rng.choice(len(WEIGHTS), p=WEIGHTS)] for _ in itertools.count()), tiny)
        yield
    for fault in (faults.SIGTERM, faults.CLOCK, faults.WORKER):
        while struck[fault.name] < words.others:
            campaign.disturb(itertools.repeat(fault, words.others), tiny)
            yield
    while confined.is_possible() and struck["disk full"] < words.others:
        campaign.confine(tiny, words.others)
        yield
    fragile = campaign.reference(WORLD)
    for fault in (faults.SIMULATOR_KILLED, faults.SIMULATOR_HUNG):
        while struck[fault.name] < words.others:
            campaign.disturb([fault], fragile, WORLD)
            yield


def _short(campaign: Campaign, finished: Path) -> Iterator[None]:
    """One of each."""
    from tests.chaos import confined, faults
    from tests.chaos.fragile import WORLD

    in_a_call = faults.KILLS[1]
    mixed = [faults.KILL, in_a_call, faults.SIGTERM, in_a_call, faults.KILLS[3], faults.CLOCK, in_a_call, faults.WORKER]
    campaign.disturb(mixed, finished)
    yield
    fragile = campaign.reference(WORLD, "collect")
    for fault in (faults.SIMULATOR_KILLED, faults.SIMULATOR_HUNG):
        while not campaign.tally.struck[fault.name]:  # it is over fast
            campaign.disturb([fault], fragile, WORLD, "collect")
            yield
    if confined.is_possible():
        campaign.confine(finished, times=2)
    yield


def _tell(line: str) -> None:
    print(time.strftime("%H:%M:%S"), line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
