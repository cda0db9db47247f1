"""Fuzz every reader: `python -m tests.fuzz [--cases 10000] [--seed 0]`; prints a table, exits with 1 on any fault.

The cases run in a process of their own under limits; where that dies, the case at work is a fault and the next
process goes on behind it.
"""

from __future__ import annotations

import argparse
import collections
import json
import subprocess
import sys
import tempfile
from pathlib import Path

VERDICTS = ("refused", "as written", "taken", "fault")


def main() -> int:
    """Run the series; returns the exit code."""
    words = _parse()
    if words.child is not None:
        _work(words.child, words.first, words.cases, words.seed)
        return 0
    with tempfile.TemporaryDirectory(prefix="reverie-fuzz-") as folder:
        outcomes = _series(Path(folder), words.cases, words.seed)
    _show(outcomes)
    if words.json:
        words.json.write_text(json.dumps(_summary(outcomes, words.seed), indent=2) + "\n")
    return 1 if any(outcome["verdict"] == "fault" for outcome in outcomes) else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000, help="mutated inputs in all")
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--seed", type=int, default=0, help="another seed is another series")
    parser.add_argument("--json", type=Path, help="write the counts to this file")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def _series(folder: Path, cases: int, seed: int) -> list[dict[str, object]]:
    outcomes: list[dict[str, object]] = []
    while len(outcomes) < cases:
        command = [sys.executable, "-m", "tests.fuzz", "--child", str(folder), "--seed", str(seed)]
        command += ["--first", str(len(outcomes)), "--cases", str(cases)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            outcomes += [json.loads(line) for line in child.stdout if line.endswith("}\n")]
        if len(outcomes) < cases:
            died = {"number": len(outcomes), "reader": "?", "change": "?", "verdict": "fault"}
            outcomes.append(died | {"detail": f"the process ended with {child.returncode}"})
    return outcomes


def _work(folder: Path, first: int, cases: int, seed: int) -> None:
    from dataclasses import asdict

    from tests.fuzz.bounds import limit_memory
    from tests.fuzz.cases import Bench
    from tests.fuzz.samples import make_samples

    if not (folder / "samples").exists():
        make_samples(folder / "samples")
    bench = Bench(folder)
    limit_memory()
    for number in range(first, cases):
        print(json.dumps(asdict(bench.case(number, seed))), flush=True)


def _summary(outcomes: list[dict[str, object]], seed: int) -> dict[str, object]:
    readers: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for outcome in outcomes:
        readers[str(outcome["reader"])][str(outcome["verdict"])] += 1
    return {
        "cases": len(outcomes),
        "seed": seed,
        "readers": {name: dict(counts) for name, counts in readers.items()},
        "faults": [outcome for outcome in outcomes if outcome["verdict"] == "fault"],
    }


def _show(outcomes: list[dict[str, object]]) -> None:
    counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for outcome in outcomes:
        counts[str(outcome["reader"])][str(outcome["verdict"])] += 1
    counts["all"] = sum(counts.values(), collections.Counter())
    print(f"{'':22}{'inputs':>8}" + "".join(f"{verdict:>12}" for verdict in VERDICTS))
    for name, count in counts.items():
        print(f"{name:22}{count.total():8}" + "".join(f"{count[verdict]:12}" for verdict in VERDICTS))
    for outcome in outcomes:
        if outcome["verdict"] == "fault":
            print(f"fault in case {outcome['number']}: {outcome['reader']}, {outcome['change']}: {outcome['detail']}")


if __name__ == "__main__":
    sys.exit(main())
