"""A few hundred of the cases of `make fuzz`, and what it relies on."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from reverie.errors import ReverieError
from reverie.files.checkpoint import latest_checkpoint
from tests.fuzz.bounds import OutOfBoundsError, Watch
from tests.fuzz.cases import Bench
from tests.fuzz.mutations import blind, hostile_header, hostile_json, pickled
from tests.fuzz.places import PLACES
from tests.fuzz.readers import READERS, Reader
from tests.fuzz.samples import make_samples
from tests.small_runs import ROOT

CASES = 10 * len(READERS)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz") / "samples"
    make_samples(folder)
    return folder


def test_a_few_hundred_inputs_harm_nothing(tmp_path: Path) -> None:
    words = ["-m", "tests.fuzz", "--cases", str(CASES), "--json", str(tmp_path / "counts.json")]
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    counts = json.loads((tmp_path / "counts.json").read_text())
    assert counts["cases"] == CASES
    assert counts["faults"] == []
    assert set(counts["readers"]) == {reader.name for reader in READERS}
    refused = sum(count.get("refused", 0) for count in counts["readers"].values())
    assert refused > CASES / 2  # the changes are no small ones


def test_a_case_is_a_function_of_its_number(samples: Path) -> None:
    data = (samples / "run" / "config.json").read_bytes()
    tensors = (samples / "export" / "starts.safetensors").read_bytes()
    for change, whole in ((blind, data), (hostile_json, data), (hostile_header, tensors)):
        one, same, other = (change(whole, np.random.default_rng(seed)) for seed in (1, 1, 2))
        assert one == same != other


def test_faults_are_seen(samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers that do what none may: each is called a fault, or the fuzzing could not fail."""
    record = samples / "run" / "timings.json"

    def unpickle(folder: Path) -> object:
        data = (folder / "run" / "timings.json").read_bytes()
        return pickle.loads(data).close() if data.startswith(b"\x80") else None

    bad = {
        "crash": lambda folder: json.loads((folder / "run" / "timings.json").read_text()),
        "blind": lambda folder: "always the same" if record.read_bytes()[:1] == b"{" else "another",
        "unpickling": unpickle,
        "outside": lambda folder: (folder.parent / "outside" / "run" / "config.json").read_bytes()[:0],
        "nameless": _nameless,
    }
    readers = [Reader(name, "run/timings.json", read) for name, read in bad.items()]
    monkeypatch.setattr("tests.fuzz.cases.READERS", readers)
    monkeypatch.setattr("tests.fuzz.bounds.WALL_SECONDS", 2)  # one of the places is a pipe, which nobody writes to
    bench = Bench(samples.parent)
    outcomes = [bench.case(number, seed=0) for number in range(60 * len(readers))]
    found = {outcome.reader for outcome in outcomes if outcome.verdict == "fault"}
    bench.canary.unlink(missing_ok=True)
    assert found == set(bad)


def _nameless(folder: Path) -> object:
    try:
        return json.loads((folder / "run" / "timings.json").read_text())
    except (ValueError, OSError):
        raise ReverieError("something is wrong somewhere") from None


def test_a_reader_that_takes_for_ever_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.fuzz.bounds.WALL_SECONDS", 0.2)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutOfBoundsError), Watch(tmp_path / "outside").reading():
        (tmp_path / "pipe").read_bytes()


@pytest.mark.parametrize("name", ["step-00000006.json", "step-00000006.safetensors"])
def test_a_pickle_in_the_place_of_a_checkpoint_is_not_loaded(name: str, samples: Path, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    data = pickled(str(canary))
    pickle.loads(data).close()
    assert canary.exists()  # so it would have been seen
    canary.unlink()
    file = samples / "run" / "vision" / name
    whole = file.read_bytes()
    file.write_bytes(data)
    try:
        with pytest.raises(ReverieError, match=name):
            latest_checkpoint(file.parent)
    finally:
        file.write_bytes(whole)
    assert not canary.exists()


def test_every_kind_of_place_is_tried() -> None:
    assert len({place.__name__ for place in PLACES}) == 11
