"""Dreams to learn in that are in memory: of all kinds that there are, each with what an EnvSpec says of a dream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from reverie.controller.config import ControllerConfig
from reverie.controller.model import Controller
from reverie.dream.config import DreamConfig
from reverie.dream.engine import DreamEngine
from reverie.dream.replay import ReplayStarts
from reverie.dream.starts import Starts
from reverie.feature_env import Place
from reverie.memory.lstm import LSTMState
from reverie.play.env_spec import ensemble
from reverie.play.loop import Limits
from tests.dream import parts

HORIZON = 30
THRESHOLD = DreamConfig(temperature=1.1)
MEMORIES = (parts.memory(0), parts.memory(9))


@dataclass(frozen=True)
class Dreamt:
    """The part of `EnvSpec` that learning in a dream needs, over engines that are there already."""

    made: Sequence[DreamEngine]
    place: Place = "dream"

    @property
    def episode_limits(self) -> Limits:
        return Limits(HORIZON)

    def engines(self) -> Sequence[DreamEngine]:
        return self.made

    def controller_shape(self) -> Controller:
        return parts.controller(self.made[0])


def engine(**changes: Any) -> DreamEngine:
    return parts.engine(**{"config": THRESHOLD, "spec": parts.PREDICTED} | changes)


def guarded(starts: Starts | None = None, **settings: Any) -> Sequence[DreamEngine]:
    config = DreamConfig(temperature=1.1, **settings)
    memories = MEMORIES[: config.ensemble_size]
    return ensemble(memories, starts or parts.starts(), parts.PREDICTED, config, ControllerConfig())


def moments(memories: int = 2) -> ReplayStarts:
    """Starts inside episodes, with made-up states of so many Ms."""
    first, drawn = parts.starts(), torch.Generator().manual_seed(1)
    states = [torch.randn(len(first), parts.HIDDEN, generator=drawn) for _ in range(2 * memories)]
    return ReplayStarts(first.mu, first.logvar, tuple(map(LSTMState, states[::2], states[1::2])))


DREAMS = {
    "plain": lambda: (engine(),),
    "another M seen": lambda: (engine(seen=MEMORIES[1]),),
    "Ms in turns": lambda: guarded(moments(), ensemble_size=2),
    "Ms that disagree": lambda: guarded(moments(), ensemble_size=2, disagreement_penalty=1.0),
    "dropout": lambda: guarded(dropout=0.4),
}
