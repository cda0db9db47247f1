"""Let a run go on for hours and watch what it holds: `python -m tests.soak [--hours 2]`; exits with 1 where it grows.

`reverie run tiny` with two workers searches C for more generations than it can reach. Then it is stopped by SIGTERM,
begun again by the same command, stopped again a few generations later, and verified.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import psutil

from tests.small_runs import ENVIRONMENT, ROOT
from tests.soak.judging import growth, table
from tests.soak.sampling import Sample, generation_of, watch

# the search for C is what is watched; the rest as the preset has it
SHORT = ["--collect.episodes", "24", "--vision.updates", "10", "--memory.updates", "20"]
SHORT += ["--phases", "cmaes:dream:1000000"]
STOPPED = 128 + signal.SIGTERM
MORE = 5  # generations after the resumption
PATIENCE, END = 3600.0, 900.0  # seconds for those, and from SIGTERM to the end, where other things have the cores


def main() -> int:
    """Run the soak; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--every", type=float, default=10.0, help="seconds between two samples")
    parser.add_argument("--log", type=Path, default=Path("runs/soak.jsonl"), help="samples are appended to this file")
    words = parser.parse_args()
    words.log.parent.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(STOPPED))  # so that the command ends with us
    with tempfile.TemporaryDirectory(prefix="reverie-soak-") as folder:
        run = Path(folder) / "run"
        samples, wrong = soak(run, SHORT, lambda sample: sample.seconds >= words.hours * 3600, words.every, words.log)
    print(table(samples))
    wrong += growth(samples)
    print("\n".join(wrong) or f"flat over {samples[-1].generation:,} generations")
    return 1 if wrong else 0


def soak(
    run: Path, settings: list[str], until: Callable[[Sample], bool], every: float, log: Path
) -> tuple[list[Sample], list[str]]:
    """The samples of a run up to the one that `until` holds of, and what was wrong with its end and resumption."""
    command = ["run", "tiny", "--preset", "tiny", "--run-dir", str(run), "--workers", "2", *settings]
    samples, wrong = _watched(command, run, until, every, log)
    if wrong:
        return samples, wrong
    reached = generation_of(run)
    enough = reached + MORE
    _, wrong = _watched(command, run, lambda sample: _is_enough(sample, enough), every / 10, log)
    if generation_of(run) < enough:
        wrong.append(f"resumed at generation {reached}, it came to {generation_of(run)} in {PATIENCE:.0f} s")
    verified = _reverie("verify", str(run)).wait()
    return samples, wrong + ([f"verify: exit code {verified}"] if verified else [])


def _is_enough(sample: Sample, generation: int) -> bool:
    return sample.generation >= generation or sample.seconds > PATIENCE


def _watched(
    command: list[str], run: Path, until: Callable[[Sample], bool], every: float, log: Path
) -> tuple[list[Sample], list[str]]:
    """Give the command, watch it, stop it: the samples, and what was wrong with its end."""
    begun = _reverie(*command)
    try:
        samples = watch(psutil.Process(begun.pid), run, every, until, log)
        begun.send_signal(signal.SIGTERM)
        code = begun.wait(END)
    except subprocess.TimeoutExpired:
        return samples, [f"SIGTERM did not end it in {END:.0f} s"]
    finally:
        begun.kill()  # its workers end with it
        begun.wait()
    return samples, [] if code == STOPPED else [f"exit code {code}, expected {STOPPED} after SIGTERM"]


def _reverie(*words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "reverie", *words], cwd=ROOT, env=ENVIRONMENT | {"REVERIE_QUIET": "1"}
    )


if __name__ == "__main__":
    sys.exit(main())
