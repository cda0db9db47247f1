"""The rounds of a run side by side on film: each one's agent in the real world, all on the same seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from reverie.evaluation.published import published
from reverie.evaluation.score import Score
from reverie.report.inputs import ReportInputs
from reverie.report.recording import play_episodes
from reverie.report.video import film, prolonged
from reverie.report.wording import mean_std, number

if TYPE_CHECKING:
    from reverie.agent import Agent

MOST_STEPS = 1050  # half a minute of Doom, a whole lap of the car; some seconds of play a round
PANELS = 4  # of more rounds the first, the last, and some between


@dataclass(frozen=True, repr=False)
class RoundFilmed:
    """The agent that round `number` ended with, filmed for at most `MOST_STEPS` steps.

    real_steps: in the real world to learn from, up to and with this round
    score: of many episodes on other seeds; None where it is not scored yet
    frames: uint8 [T + 1, 64, 64, 3]; total: the sum of the rewards that it is shown to get
    cut: whether the episode went on
    """

    number: int
    real_steps: int
    score: Score | None
    frames: np.ndarray
    total: float
    cut: bool

    def __repr__(self) -> str:
        return f"RoundFilmed({self.number}, steps={len(self.frames) - 1}, return={self.total:.1f})"


def film_round(agent: Agent, number: int, real_steps: int, score: Score | None, seed: int) -> RoundFilmed:
    """Film the agent of a round in its real world."""
    (episode,) = play_episodes(agent, [seed], MOST_STEPS)
    cut = len(episode.actions) == MOST_STEPS and not episode.terminated
    return RoundFilmed(number, real_steps, score, episode.frames, episode.total_reward, cut)


def shown_rounds(count: int) -> list[int]:
    """Which of `count` rounds are shown, at most `PANELS`: the first, the last, and what lies evenly between."""
    return sorted({round(place) for place in np.linspace(0, count - 1, min(count, PANELS)).tolist()})


def rounds(inputs: ReportInputs) -> dict[str, Any] | None:
    """The film with what stands above each of its panels; None for a run without rounds to compare."""
    shown = inputs.rounds
    if len(shown) < 2:
        return None
    length = max(len(one.frames) for one in shown)
    pace = published(inputs.world.name).frames_per_second
    return {
        "film": film([prolonged(one.frames, length) for one in shown], pace),
        "panels": [_panel(one, inputs.unit) for one in shown],
        "skipped": shown[-1].number + 1 > len(shown),
        "cut": MOST_STEPS if any(one.cut for one in shown) else None,
    }


def _panel(one: RoundFilmed, unit: str) -> dict[str, str]:
    """What is said of a round."""
    steps = len(one.frames) - 1
    here = f"{one.total:,.0f} steps" if unit == "steps survived" else f"{steps:,} steps, {number(one.total)} {unit}"
    return {
        "round": f"round {one.number}",
        "steps": f"{one.real_steps:,} real steps",
        "score": "not scored yet" if one.score is None else mean_std(one.score),
        "here": f"here {'over ' if one.cut else ''}{here}",
    }
