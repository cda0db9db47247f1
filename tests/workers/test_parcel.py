"""Parcels: what several tasks share travels once, paths arrive as paths of copies."""

from __future__ import annotations

import os
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reverie.workers.parcel import Freight, lay_out, unpack


@dataclass(frozen=True)
class Task:
    weights: np.ndarray
    model: Path
    number: int


def _store() -> tuple[Freight, list[Any]]:
    """A freight whose store is a list, and a reference a place in it."""
    store: list[Any] = []

    def put(value: Any) -> int:
        store.append(value)
        return len(store) - 1

    return Freight(put), store


def test_shared_objects_and_files_stay_out_of_the_parcels(tmp_path: Path) -> None:
    freight, store = _store()
    weights, model = np.arange(100_000.0), tmp_path / "model"
    (model / "deep").mkdir(parents=True)
    (model / "a").write_bytes(b"first")
    (model / "deep" / "b").write_bytes(b"second")
    packer = freight.load([model], [weights])
    parcels = [packer.pack(Task(weights, model, number)) for number in range(3)]
    assert all(len(parcel) < 500 for parcel in parcels)
    assert len(store) == 2

    def find(name: str) -> Any:
        content = store[packer.items[name]]
        if name.startswith("object"):
            return pickle.loads(content)
        return lay_out(content, tmp_path / "there", name.split()[1])

    (tmp_path / "there").mkdir()
    tasks = [unpack(parcel, find) for parcel in parcels]
    assert [task.number for task in tasks] == [0, 1, 2]
    assert all((task.weights == weights).all() for task in tasks)
    assert {task.model for task in tasks} == {tmp_path / "there" / "model"}
    assert (tmp_path / "there" / "model" / "deep" / "b").read_bytes() == b"second"


def test_what_does_not_change_travels_once(tmp_path: Path) -> None:
    freight, store = _store()
    file, weights = tmp_path / "v.safetensors", np.zeros(10)
    file.write_bytes(b"one")
    first, again = freight.load([file], [weights]), freight.load([file], [weights.copy()])
    assert first.items == again.items
    assert len(store) == 2
    file.write_bytes(b"two!")
    changed = freight.load([file], [np.ones(10)])
    assert not first.items.keys() & changed.items.keys()
    assert store[2:] == [{"": b"two!"}, pickle.dumps(np.ones(10), protocol=pickle.HIGHEST_PROTOCOL)]


def test_other_paths_travel_as_they_are(tmp_path: Path) -> None:
    freight, _ = _store()
    (tmp_path / "a").touch()
    parcel = freight.load([tmp_path / "a"], []).pack([tmp_path / "b", tmp_path])
    assert unpack(parcel, lambda name: 1 / 0) == [tmp_path / "b", tmp_path]


def test_a_copy_that_is_there_is_taken(tmp_path: Path) -> None:
    first = lay_out({"": b"one"}, tmp_path, "file")
    assert lay_out({"": b"another"}, tmp_path, "file") == first
    assert first.read_bytes() == b"one"
    assert os.listdir(tmp_path) == ["file"]
