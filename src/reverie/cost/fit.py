"""The largest budget that fits into so many minutes."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable

from reverie.cost.estimate import Estimate, estimate, minutes_in_words
from reverie.cost.rates import Rates
from reverie.errors import ReverieError
from reverie.recipe.budget import LEAST_STEPS
from reverie.recipe.experiment import Experiment

DIGITS = range(10, 100)  # of the numbers of real steps that are tried: two
LARGEST = 10_000_000


def largest_budget(seconds: float, make: Callable[[int], Experiment], rates: Rates) -> tuple[int, Estimate]:
    """The number of real steps, two digits and zeros, whose experiment takes at most so many seconds; its estimate.

    Raises: ReverieError where the smallest takes longer.
    """
    tried = [digits * 10**power for power in range(1, 7) for digits in DIGITS]
    tried = [steps for steps in tried if LEAST_STEPS <= steps <= LARGEST]
    place = bisect_right(tried, seconds, key=lambda steps: estimate(make(steps), rates).seconds)
    if place == 0:
        least = estimate(make(tried[0]), rates).seconds
        raise ReverieError(
            f"measuring took {minutes_in_words(rates.seconds)}, and the smallest run takes {minutes_in_words(least)}; "
            f"give --minutes {math.ceil((rates.seconds + least) / 60)} or more, or fewer --evaluation-episodes"
        )
    return tried[place - 1], estimate(make(tried[place - 1]), rates)
