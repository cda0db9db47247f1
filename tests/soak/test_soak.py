"""That a leak is seen and noise is not, and a run of a few generations; `make soak` is the long version."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tests.small_runs import settings
from tests.soak.__main__ import MORE, soak
from tests.soak.judging import growth, quarters, table
from tests.soak.sampling import Sample, generation_of, look

FLAT = Sample(0.0, 0, 1200.0, 700.0, 900.0, descriptors=23, processes=5, threads=12, files=40, folder=50.0)
HOARDER = """
import sys
kept = []
for line in sys.stdin:
    kept += [open("/dev/null") for _ in range(10)] + [bytearray(b"x" * 2**25)]
    print(len(kept), flush=True)
"""


def samples(change: Callable[[Sample, int], Sample]) -> list[Sample]:
    """Two hours of made-up samples, every ten seconds; V and M learn for the first 20."""
    found = [replace(FLAT, seconds=10.0 * n, generation=max(0, n - 20)) for n in range(720)]
    return [change(sample, number) for number, sample in enumerate(found)]


def test_noise_is_no_growth() -> None:
    chance = random.Random(0)

    def noisy(sample: Sample, number: int) -> Sample:
        return replace(
            sample,
            resident=sample.resident + chance.uniform(-20, 20),
            descriptors=sample.descriptors + chance.choice([0, 0, 1, 2]),
            files=sample.files + chance.choice([0, 1, 4]),
        )

    assert growth(samples(noisy)) == []


def test_what_the_stages_before_and_the_warm_up_take_does_not_count() -> None:
    def settles(sample: Sample, number: int) -> Sample:
        return replace(sample, resident=100.0, descriptors=5) if number < 20 + 0.04 * 700 else sample

    assert growth(samples(settles)) == []


@pytest.mark.parametrize(
    ("name", "amount", "words"),
    [
        ("descriptors", 1 / 100, "descriptors grew from 23.9 to 28.8, allowed is 24.9"),
        ("threads", 1 / 100, "threads grew from 12.9 to 17.8, allowed is 13.9"),
        ("files", 1 / 10, "files grew from 53.4 to 103.2, allowed is 54.4"),
        ("private", 0.1, "private grew from 913.9 to 963.6, allowed is 941.3"),
        ("largest", 0.05, "largest grew from 706.9 to 731.8, allowed is 714.9"),
    ],
)
def test_a_slow_leak_is_seen(name: str, amount: float, words: str) -> None:
    def leaking(sample: Sample, number: int) -> Sample:
        value = getattr(FLAT, name)
        return replace(sample, **{name: type(value)(value + amount * number)})

    assert growth(samples(leaking)) == [words]


def test_too_few_samples_are_no_proof() -> None:
    few = samples(lambda sample, number: sample)[:30]
    assert growth(few) == ["2 samples in the first quarter of the search, expected at least 4"]
    assert growth([]) == ["0 samples in the first quarter of the search, expected at least 4"]


def test_the_table_has_mean_and_maximum_of_each_quarter() -> None:
    found = samples(lambda sample, number: replace(sample, threads=12 + (number == 719)))
    assert [len(part) for part in quarters(found)] == [166, 166, 166, 166]
    rows = table(found).splitlines()
    assert rows[2] == "| generations | 36-201 | 202-367 | 368-533 | 534-699 |"
    assert "| threads | 12.0 (12) | 12.0 (12) | 12.0 (12) | 12.0 (13) |" in rows


def test_what_a_process_hoards_is_seen(tmp_path: Path) -> None:
    words = [sys.executable, "-S", "-c", HOARDER]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        held = []
        for _ in range(2):
            print(file=process.stdin)
            process.stdout.readline()
            held.append(look(psutil.Process(process.pid), tmp_path, 0.0))
        process.stdin.close()
    first, second = held
    assert first is not None
    assert second is not None
    assert second.descriptors == first.descriptors + 10
    assert second.private == pytest.approx(first.private + 32, abs=4)
    assert second.largest == second.resident == pytest.approx(first.resident + 32, abs=4)


@pytest.mark.timeout(900)
def test_a_run_is_watched_stopped_and_resumed(tmp_path: Path) -> None:
    run, log = tmp_path / "run", tmp_path / "soak.jsonl"
    words = settings(phases="cmaes:dream:1000000")
    found, wrong = soak(run, words, lambda sample: sample.generation >= 3, every=0.2, log=log)
    assert wrong == []
    last = found[-1]
    assert last.processes >= 3  # two workers
    assert last.descriptors >= 3 * last.processes
    assert last.resident > last.largest > 50
    assert last.files > 70  # 66 episodes
    assert generation_of(run) >= last.generation + MORE
    logged = [json.loads(line) for line in log.read_text().splitlines()]
    assert len(logged) > len(found)
    assert logged[len(found) - 1] == vars(last)


def test_a_command_that_ends_by_itself_is_seen(tmp_path: Path) -> None:
    words = settings(cmaes__population=2)
    _, wrong = soak(tmp_path / "run", words, lambda sample: False, every=0.2, log=tmp_path / "soak.jsonl")
    assert wrong == ["exit code 2, expected 143 after SIGTERM"]
