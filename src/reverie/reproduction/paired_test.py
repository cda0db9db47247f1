"""Is one score better than another by more than chance? Both were played on the same seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reverie.errors import ReverieError
from reverie.evaluation.score import Score
from reverie.workers.seeds import generator

DRAWS = 100_000
TEST = f"paired sign-flip permutation test of the mean difference, two-sided, {DRAWS:,} draws"
CHUNK = 10_000


@dataclass(frozen=True)
class PairedTest:
    """The rows `name` and `against`, episode by episode.

    difference: mean return of the one less that of the other; low, high: its 95 % interval (bootstrap over episodes)
    p: how often chance alone would part two equal players as far
    """

    name: str
    against: str
    difference: float
    low: float
    high: float
    p: float
    episodes: int
    test: str = TEST


def compare(name: str, score: Score, against: str, other: Score) -> PairedTest:
    """Test two scores of the same seeds against each other."""
    if (score.seed, score.episodes) != (other.seed, other.episodes):
        raise ReverieError(
            f"{name} was scored over {score.episodes} episodes of seed {score.seed} and {against} over "
            f"{other.episodes} of seed {other.seed}; expected the same for both"
        )
    differences = np.subtract(score.scores, other.scores)
    low, high = bootstrap_interval(differences)
    p = sign_flip_p(differences)
    return PairedTest(name, against, float(differences.mean()), low, high, p, score.episodes)


def sign_flip_p(differences: Sequence[float] | np.ndarray) -> float:
    """Two-sided p of the paired permutation test: were both alike, each difference could as well be its negative.

    Exact where all sign patterns are fewer than `DRAWS`; else from `DRAWS` seeded patterns, themselves counted in.
    """
    values = np.asarray(differences, np.float64)
    observed = abs(values.sum()) * (1 - 1e-12)  # a sum of the same numbers in another order may round below it
    if 2 ** len(values) <= DRAWS:
        bits = np.arange(2 ** len(values))[:, None] >> np.arange(len(values)) & 1
        return float((np.abs((1 - 2 * bits) @ values) >= observed).mean())
    rng, extreme = generator(0, "sign flips"), 0
    for _ in range(DRAWS // CHUNK):
        signs = 1 - 2 * rng.integers(2, size=(CHUNK, len(values)), dtype=np.int8)
        extreme += int((np.abs(signs @ values) >= observed).sum())
    return (1 + extreme) / (1 + DRAWS)


def bootstrap_interval(differences: Sequence[float] | np.ndarray, share: float = 0.95) -> tuple[float, float]:
    """The percentile bootstrap interval of the mean, from 10,000 seeded resamples."""
    values = np.asarray(differences, np.float64)
    means = values[generator(0, "bootstrap").integers(len(values), size=(CHUNK, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [(1 - share) / 2, (1 + share) / 2])
    return float(low), float(high)
