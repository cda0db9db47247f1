"""What a report is made from. Everything but the world may be missing: a run stopped after V still gets a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reverie.evaluation.score import Score

if TYPE_CHECKING:
    from reverie.episodes.episode import Episode
    from reverie.learning.phases import Phase
    from reverie.memory.model import MDNRNN
    from reverie.report.recording import Recording, RoundFilm
    from reverie.vision.latents import LatentEpisode
    from reverie.vision.model import ConvVAE
    from reverie.worlds.spec import WorldSpec


@dataclass(frozen=True)
class PhaseCurve:
    """One phase of C's training in one round: its place among all phases, from 1, and its JSONL."""

    number: int
    phase: Phase
    round: int
    metrics_path: Path


@dataclass(frozen=True)
class ReportInputs:
    """A run, opened.

    agent, dream, random: scores in the real world, in the dream, and of the random policy in the real world
    baselines: further scores that stand beside them, by the name that a reader sees ("blind sweep")
    vision, memory: the trained V and M
    episodes: a few recorded ones (frames to reconstruct)
    latents: some tens of recorded ones as V saw them, best ones that M was not trained on (prediction, calibration)
    awake, asleep: the agent filmed in the real world and in its dream
    vision_metrics, memory_metrics: the stage's JSONL (a file that is not there counts as empty)
    phases: those of C's training, round after round
    rounds: the agent of each round on one and the same seed
    controller_parameters: how many numbers C is
    config, versions: what config.json and versions.json hold
    seconds: wall time by stage
    real_steps: steps taken in the real world to train on
    """

    world: WorldSpec
    agent: Score | None = None
    dream: Score | None = None
    random: Score | None = None
    baselines: Mapping[str, Score] = field(default_factory=dict)
    vision: ConvVAE | None = None
    memory: MDNRNN | None = None
    episodes: Sequence[Episode] = ()
    latents: Sequence[LatentEpisode] = ()
    awake: Recording | None = None
    asleep: Recording | None = None
    vision_metrics: Path | None = None
    memory_metrics: Path | None = None
    phases: Sequence[PhaseCurve] = ()
    rounds: Sequence[RoundFilm] = ()
    controller_parameters: int | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, Any] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    real_steps: int | None = None

    @property
    def unit(self) -> str:
        """What a return counts, for an axis or a table."""
        return "steps survived" if self.world.reward == "survival" else "points"
