"""Arrays come back bit for bit, or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save, save_file

from reverie.errors import DamagedFileError, ReverieError
from reverie.files.arrays import decode_arrays, encode_arrays, load_arrays, save_arrays

REMEDY = "restore it from a copy, or remove it to have it made again"
DIVERGED = "training diverged: try gentler settings, such as a lower learning rate"
ARRAYS = {
    "weights": np.arange(12, dtype=np.float32).reshape(3, 4) / 7,
    "half": np.array([1.5, -0.0], np.float16),
    "step": np.array(3.0, np.float64),
    "none": np.zeros((0, 5), np.int64),
    "frames": np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
    "flags": np.array([True, False]),
}


def test_arrays_come_back_bit_for_bit(tmp_path: Path) -> None:
    save_arrays(tmp_path / "a", ARRAYS, {"world": "doom"})
    arrays, metadata = load_arrays(tmp_path / "a")
    assert metadata == {"world": "doom"}
    assert set(arrays) == set(ARRAYS)
    for name, array in arrays.items():
        assert array.dtype == ARRAYS[name].dtype
        assert array.shape == ARRAYS[name].shape
        assert array.tobytes() == ARRAYS[name].tobytes()
        assert array.flags.writeable


def test_other_tools_read_the_file(tmp_path: Path) -> None:
    save_arrays(tmp_path / "a", ARRAYS)
    assert np.array_equal(load_file(tmp_path / "a")["weights"], ARRAYS["weights"])


def test_memory_order_does_not_matter(tmp_path: Path) -> None:
    turned = ARRAYS["weights"].T[::-1]
    save_arrays(tmp_path / "a", {"turned": turned})
    save_arrays(tmp_path / "b", {"turned": turned.copy()})
    assert np.array_equal(load_arrays(tmp_path / "a")[0]["turned"], turned)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_equal_contents_are_equal_files() -> None:
    notes = {f"note {number}": "é" for number in range(10)}
    files = {encode_arrays(ARRAYS, dict(order), Path("a")) for order in (notes.items(), reversed(notes.items()))}
    assert len(files) == 1
    assert decode_arrays(files.pop(), Path("a"))[1] == notes


SMALL = encode_arrays({"x": np.array([1.0, 2.0], np.float32), "n": np.array([3])}, {"k": "v"}, Path("a"))


def test_every_flipped_bit_is_noticed() -> None:
    for bit in range(len(SMALL) * 8):
        data = bytearray(SMALL)
        data[bit // 8] ^= 1 << bit % 8
        with pytest.raises(DamagedFileError, match=r"^runs/a "):
            decode_arrays(bytes(data), Path("runs/a"))


def test_every_truncation_is_noticed() -> None:
    for data in [SMALL[:length] for length in range(len(SMALL))] + [SMALL + b"\0"]:
        with pytest.raises(DamagedFileError, match=r"^runs/a "):
            decode_arrays(data, Path("runs/a"))


def _huge_header(path: Path) -> None:
    path.write_bytes((2**40).to_bytes(8, "little") + b"{}")


def _no_digest(path: Path) -> None:
    save_file({"x": np.zeros(2)}, path)


def _a_changed_weight(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def _other_metadata(path: Path) -> None:
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    notes = json.loads(data[8 : 8 + length])["__metadata__"]
    path.write_bytes(save(dict(load_file(path)), metadata=notes | {"world": "car"}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            _huge_header,
            "{path} is not a whole array file (SafetensorError: Error while deserializing: header too large)",
        ),
        (_no_digest, "{path} is not a whole array file (KeyError: '__metadata__')"),
        (_a_changed_weight, "{path} was altered: its content does not match its digest"),
        (_other_metadata, "{path} was altered: its content does not match its digest"),
        (lambda path: path.unlink(), "{path} is missing"),
    ],
)
def test_damaged_files(tmp_path: Path, damage: Callable[[Path], None], message: str) -> None:
    path = tmp_path / "a.safetensors"
    save_arrays(path, {"x": np.ones(3)}, {"world": "doom"})
    damage(path)
    with pytest.raises(DamagedFileError) as caught:
        load_arrays(path)
    assert str(caught.value) == f"{message.format(path=path)}; {REMEDY}"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_is_neither_written_nor_read(tmp_path: Path, value: float, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    broken = {"fine": np.array([1]), "w": np.array([0.0, value])}
    with pytest.raises(ReverieError) as caught:
        save_arrays(path, broken)
    assert str(caught.value) == f"w became NaN or infinite and was not written to {path}; {DIVERGED}"
    assert not path.exists()
    with monkeypatch.context() as patch:
        patch.setattr("numpy.isfinite", lambda array: np.ones(array.shape, bool))
        save_arrays(path, broken)
    with pytest.raises(DamagedFileError) as caught:
        load_arrays(path)
    assert str(caught.value) == f"{path} holds NaN or infinity in w; {REMEDY}"
