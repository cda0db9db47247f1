"""Mean and spread over seeds, for a table and for JSON."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def mean_and_std(values: Sequence[float]) -> dict[str, float]:
    """Mean and standard deviation of one figure over the seeds."""
    return {"mean": float(np.mean(values)), "std": float(np.std(values))}


def as_mean_std(values: Sequence[float]) -> str:
    """The same for a table."""
    return f"{np.mean(values):,.1f} ± {np.std(values):,.1f}"
