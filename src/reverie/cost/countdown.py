"""How much of a run is left, told before each stage."""

from __future__ import annotations

import time
from collections.abc import Mapping

from reverie.cost.estimate import Estimate, minutes_in_words

PASSED = 0.1  # of its estimate
PRIOR_SECONDS = 30.0  # as planned, that the pace of the stages so far is averaged with


class Countdown:
    """The estimate of a run, corrected by how long its stages have taken."""

    def __init__(self, estimate: Estimate, spent: Mapping[str, float] | None = None) -> None:
        """spent: wall seconds of the stages that earlier sessions were at, as the run's timings have them."""
        self._left: dict[tuple[int, str], float] = {}
        for stage in estimate.stages:
            place = (stage.round, _stage(stage.name))
            self._left[place] = self._left.get(place, 0.0) + stage.seconds
        places, timed = list(self._left), _by_stage(spent or {})
        reached = max((number for number, place in enumerate(places) if place in timed), default=-1)
        for place in places[: max(0, reached)]:
            self._left[place] = 0.0
        if reached >= 0:
            self._left[places[reached]] = max(0.0, self._left[places[reached]] - timed[places[reached]])
        self._planned = self._taken = 0.0
        self._current: tuple[float, float] | None = None

    def before(self, round: int, name: str) -> str:
        """What is left when this stage begins, in words; those of before are done."""
        now = time.monotonic()
        if self._current is not None:
            seconds, began = self._current
            if now - began > PASSED * seconds:  # else an earlier session has done it
                self._planned, self._taken = self._planned + seconds, self._taken + now - began
        left = sum(self._left.values())
        self._current = (self._left.pop((round, name), 0.0), now)
        pace = (self._taken + PRIOR_SECONDS) / (self._planned + PRIOR_SECONDS)
        return f"about {minutes_in_words(pace * left)} left"


def _by_stage(timings: Mapping[str, float]) -> dict[tuple[int, str], float]:
    found: dict[tuple[int, str], float] = {}
    for name, seconds in timings.items():
        stage, _, number = name.partition(", round ")
        place = (int(number or 0), _stage(stage))
        found[place] = found.get(place, 0.0) + seconds
    return found


def _stage(name: str) -> str:
    return "vision" if name == "encode" else name
