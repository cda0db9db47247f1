"""Where dreams begin: what V saw in the first frames of recorded episodes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from reverie.errors import DamagedFileError, ReverieError
from reverie.files.arrays import load_arrays, save_arrays
from reverie.vision.latents import Latents

LONGEST = "longest"  # in the file's metadata
MOST_STARTS = 1000  # as many as the paper keeps


@dataclass(frozen=True)
class Starts:
    """V's Gaussians of S first frames: mu and logvar, float32 [S, Nz].

    longest: steps of the longest recorded episode; None: unknown, as in exports of before it was kept
    """

    mu: np.ndarray
    logvar: np.ndarray
    longest: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if self.mu.ndim != 2 or self.mu.shape != self.logvar.shape or len(self.mu) == 0:
            raise ReverieError(
                f"dream starts have mu {self.mu.shape} and logvar {self.logvar.shape}, expected one [S, Nz] for both"
            )

    def __repr__(self) -> str:
        return f"Starts({len(self)}, latent_size={self.latent_size})"

    def __len__(self) -> int:
        return len(self.mu)

    @property
    def latent_size(self) -> int:
        """Nz."""
        return int(self.mu.shape[1])

    def draw(self, rng: np.random.Generator) -> tuple[int, np.ndarray]:
        """The place of one of the frames, and a latent z ~ N(mu, exp(logvar)) of it, float32 [Nz]."""
        index = int(rng.integers(len(self)))
        noise = rng.standard_normal(self.latent_size, dtype=np.float32)
        return index, self.mu[index] + np.exp(0.5 * self.logvar[index]) * noise


def first_latents(latents: Latents, limit: int = MOST_STARTS) -> Starts:
    """The first frames of at most `limit` episodes, evenly spread over all that were recorded."""
    entries = latents.entries
    if not entries:
        raise ReverieError("no episode has been encoded, and a dream starts from a recorded first frame; collect some")
    chosen = np.linspace(0, len(entries) - 1, min(limit, len(entries))).round().astype(int)
    episodes = [latents.episode(entries[position].index) for position in chosen]
    return Starts(
        mu=np.stack([episode.mu[0] for episode in episodes]).astype(np.float32),
        logvar=np.stack([episode.logvar[0] for episode in episodes]).astype(np.float32),
        longest=max(entry.steps for entry in entries),
    )


def save_starts(path: str | Path, starts: Starts) -> None:
    """Write them as float16, which is how latents are kept anyway."""
    arrays = {name: getattr(starts, name).astype(np.float16) for name in ("mu", "logvar")}
    save_arrays(path, arrays, {} if starts.longest is None else {LONGEST: str(starts.longest)})


def load_starts(path: str | Path) -> Starts:
    """The starts in a file of `save_starts`, or those of a folder of latents."""
    path = Path(path)
    if path.suffix != ".safetensors":
        return first_latents(Latents(path))
    arrays, notes = load_arrays(path)
    try:
        if any(array.dtype != np.float16 for array in arrays.values()):
            raise ReverieError(f"its arrays are {sorted(str(array.dtype) for array in arrays.values())}")
        mu, logvar = (arrays[name].astype(np.float32) for name in ("mu", "logvar"))
        return Starts(mu, logvar, longest=int(notes[LONGEST]) if LONGEST in notes else None)
    except (KeyError, ValueError) as error:
        raise DamagedFileError(f"{path} does not hold the starts of dreams ({error}); export it again") from None
