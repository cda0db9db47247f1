"""How much of a run is left, told before each stage."""

from __future__ import annotations

import time

from reverie.cost.estimate import Estimate, minutes_in_words

PASSED = 0.1  # of its estimate
PRIOR_SECONDS = 30.0  # as planned, that the pace of the stages so far is averaged with


class Countdown:
    """The estimate of a run, corrected by how long its stages have taken."""

    def __init__(self, estimate: Estimate) -> None:
        self._left = {(stage.round, _stage(stage.name)): 0.0 for stage in estimate.stages}
        for stage in estimate.stages:
            self._left[stage.round, _stage(stage.name)] += stage.seconds
        self._planned = self._taken = 0.0
        self._current: tuple[float, float] | None = None

    def before(self, round: int, name: str) -> str:
        """What is left when this stage begins, in words; stages of before it are done."""
        now = time.monotonic()
        if self._current is not None:
            seconds, began = self._current
            if now - began > PASSED * seconds:  # else an earlier session has done it
                self._planned, self._taken = self._planned + seconds, self._taken + now - began
        left = sum(self._left.values())
        self._current = (self._left.pop((round, name), 0.0), now)
        pace = (self._taken + PRIOR_SECONDS) / (self._planned + PRIOR_SECONDS)
        return f"about {minutes_in_words(pace * left)} left"


def _stage(name: str) -> str:
    return "vision" if name == "encode" else name
