"""How much of a world a store has seen: the cells of a grid over V's latents that its frames lie in.

The grid lies over four random projections of the latents, in steps of half the standard deviation that the first
episodes have there. Random projections keep neighbours together (Johnson and Lindenstrauss), and counting the cells of
a coarse code of what was seen is how count-based exploration measures novelty (Tang et al., 2017). The grid goes on
beyond what the first episodes saw, so new places count, as they would not in a codebook; a count never falls when
episodes are added, as a mean distance to neighbours does.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from reverie.vision.latents import Latents
from reverie.workers.seeds import generator

PROJECTIONS = 4
WIDTH = 0.5  # of a cell, in standard deviations of the first episodes
FARTHEST = 2**14 - 1  # cells from the middle, in each projection


def coverage(latents: Latents, counts: Sequence[int]) -> list[int]:
    """How many cells the first counts[0], counts[1], ... episodes lie in; the first of these lay the grid.

    counts: rising; episodes are taken by their index, mirror images left out. Figures compare within one V alone.
    """
    indices = [entry.index for entry in latents.entries if entry.index >= 0][: counts[-1]]
    projected = [_project(latents.episode(index).mu) for index in indices]
    first = np.concatenate(projected[: counts[0]])
    middle, spread = first.mean(0), first.std(0)
    spread[spread == 0] = 1
    cells = [np.unique(cells_of((frames - middle) / spread)) for frames in projected]
    return [len(np.unique(np.concatenate(cells[:count]))) for count in counts]


def _project(mu: np.ndarray) -> np.ndarray:
    """Latents [N, Nz] on the grid's axes, float32 [N, PROJECTIONS]."""
    axes = generator(0, "coverage", mu.shape[1]).standard_normal((mu.shape[1], PROJECTIONS), np.float32)
    projected: np.ndarray = mu.astype(np.float32) @ axes
    return projected


def cells_of(standard: np.ndarray) -> np.ndarray:
    """The number of each frame's cell, int64 [N], from its coordinates in standard deviations [N, PROJECTIONS]."""
    places = np.floor(standard / WIDTH).clip(-FARTHEST, FARTHEST).astype(np.int64) + FARTHEST
    numbers: np.ndarray = places @ (np.int64(2 * FARTHEST + 1) ** np.arange(PROJECTIONS))
    return numbers
