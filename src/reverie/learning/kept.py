"""Which C a fine-tuning ends with: the mean of those of the updates in a row whose episodes brought most."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from reverie.errors import DamagedFileError

LEAST = float(np.finfo(np.float64).min)  # finite, as all that a checkpoint holds


class Kept:
    """The parameters [n] of `size` Cs in a row, averaged where the mean of their returns was the highest so far."""

    def __init__(self, size: int, parameters: int) -> None:
        self.size = size
        self.params, self.returns = np.zeros((0, parameters)), np.zeros(0)  # of the last `size` at most
        self.best, self.brought = np.zeros(parameters), LEAST

    def add(self, params: np.ndarray, mean: float) -> None:
        """A C, and what its episodes brought on average."""
        self.params = np.concatenate([self.params, params[None]])[-self.size :]
        self.returns = np.append(self.returns, mean)[-self.size :]
        if len(self.returns) == self.size and self.returns.mean() > self.brought:
            self.best, self.brought = self.params.mean(0), float(self.returns.mean())

    def to_arrays(self) -> dict[str, np.ndarray]:
        arrays = {"params": self.params, "returns": self.returns, "best": self.best, "brought": np.array(self.brought)}
        return {f"kept.{name}": array for name, array in arrays.items()}

    def from_arrays(self, arrays: Mapping[str, np.ndarray], source: object) -> None:
        """Raises DamagedFileError, naming `source`, where one is missing or of another shape; nothing changes then."""
        count = min(self.size, len(arrays.get("kept.returns", ())))
        shapes = {"params": (count, len(self.best)), "returns": (count,), "best": self.best.shape, "brought": ()}
        for name, shape in shapes.items():
            found = arrays.get(f"kept.{name}")
            if found is None or found.shape != shape:
                what = "no" if found is None else f"{found.shape} as"
                raise DamagedFileError(f"{source} holds {what} kept.{name}, expected {shape}; use another run folder")
        self.params, self.returns, self.best = (arrays[f"kept.{name}"] for name in ("params", "returns", "best"))
        self.brought = float(arrays["kept.brought"])
