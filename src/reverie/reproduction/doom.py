"""The paper's Doom experiment: which rows, how large, and what the paper has beside them."""

from __future__ import annotations

from reverie.evaluation.published import published
from reverie.learning.config import GradientConfig
from reverie.learning.evolution_config import EvolutionConfig
from reverie.recipe.experiment import Preset
from reverie.reproduction.plan import BlindPolicy, Evolved, MainAgent, Plan, Row, Story

HARDER = "doom-skill-5"

STORY = Story(
    "What survives waking up",
    "A dream that is nearly certain is a game with holes: C finds them, and they are not there in reality. "
    "Temperature makes the dream harder to cheat.",
)

# Minutes a temperature; the other presets evolve the rows as they evolve their own C.
EVOLUTION: dict[Preset, EvolutionConfig] = {"standard": EvolutionConfig(generations=0)}
GRADIENT: dict[Preset, GradientConfig] = {"standard": GradientConfig(updates=200)}


def doom_plan(preset: Preset) -> Plan:
    """The table of section 4, with the controls that it lacks."""
    return Plan(
        world="doom",
        rows=(_main(), *_temperatures(), *_baselines(), *_controls(), *_harder()),
        comparisons=(
            ("main", "sweep-100"),
            ("main", "sweep-120"),
            ("main", "blinded"),
            ("trained-m", "untrained-m"),
            ("main-skill-5", "sweep-120-skill-5"),
        ),
        evolution=EVOLUTION.get(preset),
        gradient=GRADIENT.get(preset),
        references=(("best of the Gym leaderboard", paper),) if (paper := published("doom").leaderboard) else (),
        story=STORY,
    )


def _main() -> Row:
    note = "What the run ends with; C was trained in the dream alone."
    return Row("main", "main agent", MainAgent(), "doom", note, paper_real=published("doom").agent)


def _temperatures() -> list[Row]:
    note = "V and M learned from exploration alone, and C from scratch in their dream, as in the paper."
    return [
        Row(
            f"tau-{tau:.2f}",
            f"trained at τ {tau:.2f}",
            Evolved(tau, first_round=True),
            "doom",
            "The same." if place else note,
            dream,
            real,
        )
        for place, (tau, (dream, real)) in enumerate(published("doom").temperatures.items())
    ]


def _baselines() -> list[Row]:
    random = "Actions left, right or none, each held for 1 to 10 steps."
    sweep = "Left for {0} steps, right for {0} steps, whatever the screen shows, beginning in the middle."
    return [
        Row("random", "random policy", BlindPolicy("held"), "doom", random, paper_real=published("doom").random),
        *(
            Row(f"sweep-{hold}", f"blind sweep, {hold} steps", BlindPolicy(f"sweep-{hold}"), "doom", sweep.format(hold))
            for hold in (100, 120)
        ),
    ]


def _controls() -> list[Row]:
    blinded = "The main agent, shown the first frame of each episode for ever: if it still scores, it plays by heart."
    twin = "A C from scratch in the main agent's dream, for as long as the next row's, which it stands beside."
    untrained = (
        "The same dream, V and budget, but C sees the state of an LSTM with random weights that reads the same z and "
        "actions: the difference is what the training of M is worth to C as a memory. M still makes the dream."
    )
    return [
        Row("blinded", "main agent, blinded", MainAgent(blinded=True), "doom", blinded),
        Row("trained-m", "C on the trained M", Evolved(), "doom", twin),
        Row("untrained-m", "C on an untrained M", Evolved(untrained=True), "doom", untrained),
    ]


def _harder() -> list[Row]:
    note = "At skill 5, which nothing was trained for."
    return [
        Row("main-skill-5", "main agent, skill 5", MainAgent(), HARDER, note),
        Row("random-skill-5", "random policy, skill 5", BlindPolicy("held"), HARDER),
        Row("sweep-120-skill-5", "blind sweep, 120 steps, skill 5", BlindPolicy("sweep-120"), HARDER),
    ]
