"""What the lab shows of a run: V, M, the agents, the starts of dreams, recorded episodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from reverie.controller.model import Controller
    from reverie.dream.config import DreamConfig
    from reverie.dream.starts import Starts
    from reverie.memory.model import MDNRNN
    from reverie.vision.latents import LatentEpisode
    from reverie.vision.model import ConvVAE
    from reverie.worlds.spec import WorldSpec


@dataclass(frozen=True, repr=False)
class LabAgent:
    """A C to choose in the lab.

    key: a word for files and the page: "agent", or "cheat" for the one evolved at a low temperature
    label: for a reader
    params: float64 [n]
    temperature: of the dream that it was trained in; None where that was the real world
    scores: its scores as text; empty where it was not scored
    """

    key: str
    label: str
    controller: Controller
    params: np.ndarray
    temperature: float | None
    scores: str = ""


@dataclass(frozen=True, repr=False)
class LabEpisode:
    """T steps of the real world, as recorded and as V sees them.

    label: where it comes from
    frames: uint8 [T + 1, 64, 64, 3]; mu, logvar: float32 [T + 1, Nz]
    actions: float32 [T, A], as C emits them; rewards: float32 [T]
    terminated: the world ended it at step T
    """

    label: str
    frames: np.ndarray
    mu: np.ndarray
    logvar: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    terminated: bool

    def as_latents(self) -> LatentEpisode:
        """The same episode without its frames."""
        from reverie.vision.latents import LatentEpisode

        return LatentEpisode(self.mu, self.logvar, self.actions, self.rewards, self.terminated)

    def __repr__(self) -> str:
        return f"LabEpisode({self.label!r}, steps={len(self)})"

    def __len__(self) -> int:
        return len(self.actions)


@dataclass(frozen=True, repr=False)
class LabRun:
    """One run as the lab shows it.

    mu, logvar: float32 [N, Nz], V's Gaussians of frames at even distances over all recorded ones
    cheat: the agent of a low temperature with its own V and M, where those are not these
    """

    name: str
    spec: WorldSpec
    vision: ConvVAE
    memory: MDNRNN
    agents: list[LabAgent]
    starts: Starts
    dream: DreamConfig
    episodes: list[LabEpisode]
    mu: np.ndarray
    logvar: np.ndarray
    cheat: LabRun | None = None

    def __repr__(self) -> str:
        return f"LabRun({self.name!r}, agents={len(self.agents)}, episodes={len(self.episodes)})"
