"""The paper's car: which rows, how long each is evolved, and what the paper has beside them."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Literal

from reverie.controller.config import ControllerConfig
from reverie.evaluation.published import Figure, published
from reverie.learning.config import GradientConfig
from reverie.learning.evolution_config import EvolutionConfig
from reverie.recipe.experiment import Preset
from reverie.reproduction.plan import BlindPolicy, Engine, Evolved, MainAgent, Plan, Row, Story
from reverie.worlds.registry import POOLED_CAR

Z_LINEAR = ControllerConfig(features="z")
Z_HIDDEN = ControllerConfig(kind="hidden", features="z")
Z_AND_H = ControllerConfig(features="zh")

# Minutes a row, in the main agent's dream; the other presets evolve the rows as they evolve their own C.
EVOLUTION: dict[Preset, EvolutionConfig] = {"standard": EvolutionConfig(generations=0)}
GRADIENT: dict[Preset, GradientConfig] = {
    "standard": GradientConfig(updates=400, reward_limit=1.0, divergence_limit=0.1, average=50)
}

STORY = Story(
    "How they learned to drive",
    "All but the first and the last row of ours are one experiment: C from scratch, on the same V, for as long, in the "
    "same dream or on the same tracks. They differ in what C sees, and in whether the M that it sees was ever trained.",
)

# Of section 3, before the paper's own: deep reinforcement learning, and the leaderboard then.
REFERENCES = (
    ("DQN", Figure(343, 18)),
    ("A3C, continuous actions", Figure(591, 45)),
    ("A3C, discrete actions", Figure(652, 10)),
)


def carracing_plan(preset: Preset) -> Plan:
    """The table of section 3, with the control that it lacks: an M that was never trained."""
    paper = published("carracing")
    leader = () if paper.leaderboard is None else (("best of the Gym leaderboard", paper.leaderboard),)
    return Plan(
        world="carracing",
        rows=(_main(), *_agents("dream" if preset == "standard" else "world"), _random()),
        comparisons=(("z-and-h", "z-linear"), ("z-and-h", "z-hidden"), ("z-and-h", "untrained-m")),
        evolution=EVOLUTION.get(preset),
        gradient=GRADIENT.get(preset),
        references=(*REFERENCES, *leader),
        engine=Engine(POOLED_CAR, "EnvPool") if find_spec("envpool") else None,  # else all is Gymnasium's
        story=STORY,
    )


def _main() -> Row:
    note = "What the run ends with: its own settings, its own budget."
    return Row("main", "main agent", MainAgent(), "carracing", note, paper_real=published("carracing").agent)


def _agents(where: Literal["dream", "world"]) -> list[Row]:
    untrained = (
        "As the row above, but C sees the state of an M with the random weights that it began with: the difference is "
        "what the training of M is worth to C as a memory."
    )
    paper = published("carracing").agent
    found = [
        ("z-linear", "z alone, linear", Z_LINEAR, "C sees what V sees, and nothing else.", Figure(632, 251)),
        ("z-hidden", "z alone, hidden layer", Z_HIDDEN, "The same, with 40 tanh units between.", Figure(788, 141)),
        ("z-and-h", "z and h", Z_AND_H, "The paper's agent: C sees what V sees and M's state.", paper),
        ("untrained-m", "z and h, untrained M", Z_AND_H, untrained, None),
    ]
    return [
        Row(
            name,
            label,
            Evolved(where=where, controller=shape, untrained=name == "untrained-m"),
            "carracing",
            note,
            paper_real=printed,
        )
        for name, label, shape, note, printed in found
    ]


def _random() -> Row:
    return Row("random", "random policy", BlindPolicy("random-network"), "carracing", "A random network each episode.")
