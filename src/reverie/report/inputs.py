"""What a report is made from. Everything but the world may be missing: a run stopped after V still gets a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reverie.evaluation.score import Score

if TYPE_CHECKING:
    from reverie.episodes.episode import Episode
    from reverie.memory.model import MDNRNN
    from reverie.report.recording import Recording
    from reverie.report.rounds import RoundFilmed
    from reverie.vision.latents import LatentEpisode
    from reverie.vision.model import ConvVAE
    from reverie.worlds.spec import WorldSpec


@dataclass(frozen=True)
class ReportInputs:
    """A run, opened.

    agent, dream, random: scores in the real world, in the dream, and of the random policy in the real world
    baselines: further scores that stand beside them, by the name that a reader sees ("blind sweep")
    vision, memory: the trained V and M
    episodes: a few recorded ones (frames to reconstruct)
    latents: some tens of recorded ones as V saw them, best ones that M was not trained on (prediction, calibration)
    awake, asleep: the agent filmed in the real world and in its dream
    *_metrics: each stage's JSONL (a file that is not there counts as empty); of C in dreams one for each round
    rounds: the agent of each round on one and the same seed
    evolved_in: where C was trained
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
    gradient_metrics: Sequence[Path] = ()
    settle_metrics: Path | None = None
    finetune_metrics: Path | None = None
    controller_metrics: Sequence[Path] = ()
    rounds: Sequence[RoundFilmed] = ()
    evolved_in: str = "dream"
    controller_parameters: int | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, Any] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    real_steps: int | None = None

    @property
    def unit(self) -> str:
        """What a return counts, for an axis or a table."""
        return "steps survived" if self.world.reward == "survival" else "points"
