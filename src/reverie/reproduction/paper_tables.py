"""The rows of the paper's two tables, Doom (section 4) and CarRacing (section 3), beside the paper's figures."""

from __future__ import annotations

from importlib.util import find_spec

from reverie.controller.config import ControllerConfig
from reverie.evaluation.published import Figure, published
from reverie.feature_env import Place
from reverie.learning.phases import Phase
from reverie.recipe.experiment import Preset
from reverie.reproduction.plan import BlindPolicy, Engine, FreshC, MainAgent, Plan, Row, Story
from reverie.worlds.registry import POOLED_CAR

HARDER = "doom-skill-5"

DOOM_STORY = Story(
    "What survives waking up",
    "A dream that is nearly certain is a game with holes: C finds them, and they are not there in reality. "
    "Temperature makes the dream harder to cheat.",
)

# Minutes a temperature; the other presets train the rows as they train their own C.
DOOM_PHASES: dict[Preset, tuple[Phase, ...]] = {"standard": (Phase("ppo", "dream", 200),)}


def doom_plan(preset: Preset) -> Plan:
    """The table of section 4, with the controls that it lacks."""
    return Plan(
        world="doom",
        rows=(_doom_main(), *_doom_temperatures(), *_doom_baselines(), *_doom_controls(), *_doom_harder()),
        comparisons=(
            ("main", "sweep-100"),
            ("main", "sweep-120"),
            ("main", "blinded"),
            ("trained-m", "untrained-m"),
            ("main-skill-5", "sweep-120-skill-5"),
        ),
        phases=DOOM_PHASES.get(preset),
        references=(("best of the Gym leaderboard", paper),) if (paper := published("doom").leaderboard) else (),
        story=DOOM_STORY,
    )


def _doom_main() -> Row:
    note = "What the run ends with; C was trained in the dream alone."
    return Row("main", "main agent", MainAgent(), "doom", note, paper_real=published("doom").agent)


def _doom_temperatures() -> list[Row]:
    note = "V and M learned from exploration alone, and C from scratch in their dream, as in the paper."
    return [
        Row(
            f"tau-{tau:.2f}",
            f"trained at τ {tau:.2f}",
            FreshC(tau, first_round=True),
            "doom",
            "The same." if place else note,
            dream,
            real,
        )
        for place, (tau, (dream, real)) in enumerate(published("doom").temperatures.items())
    ]


def _doom_baselines() -> list[Row]:
    random = "Actions left, right or none, each held for 1 to 10 steps."
    sweep = "Left for {0} steps, right for {0} steps, whatever the screen shows, beginning in the middle."
    return [
        Row("random", "random policy", BlindPolicy("held"), "doom", random, paper_real=published("doom").random),
        *(
            Row(f"sweep-{hold}", f"blind sweep, {hold} steps", BlindPolicy(f"sweep-{hold}"), "doom", sweep.format(hold))
            for hold in (100, 120)
        ),
    ]


def _doom_controls() -> list[Row]:
    blinded = "The main agent, shown the first frame of each episode for ever: if it still scores, it plays by heart."
    twin = "A C from scratch in the main agent's dream, for as long as the next row's, which it stands beside."
    untrained = (
        "The same dream, V and budget, but C sees the state of an LSTM with random weights that reads the same z and "
        "actions: the difference is what the training of M is worth to C as a memory. M still makes the dream."
    )
    return [
        Row("blinded", "main agent, blinded", MainAgent(blinded=True), "doom", blinded),
        Row("trained-m", "C on the trained M", FreshC(), "doom", twin),
        Row("untrained-m", "C on an untrained M", FreshC(untrained=True), "doom", untrained),
    ]


def _doom_harder() -> list[Row]:
    note = "At skill 5, which nothing was trained for."
    return [
        Row("main-skill-5", "main agent, skill 5", MainAgent(), HARDER, note),
        Row("random-skill-5", "random policy, skill 5", BlindPolicy("held"), HARDER),
        Row("sweep-120-skill-5", "blind sweep, 120 steps, skill 5", BlindPolicy("sweep-120"), HARDER),
    ]


Z_LINEAR = ControllerConfig(inputs=("z",))
Z_HIDDEN = ControllerConfig(inputs=("z",), hidden_size=40)
Z_AND_H = ControllerConfig(inputs=("z", "h"))

# Minutes a row, in the main agent's dream; the other presets train the rows as they train their own C.
CAR_OVERRIDES = (("reward_clip", 1.0), ("target_kl", 0.1), ("average_last", 50))
CAR_PHASES: dict[Preset, tuple[Phase, ...]] = {"standard": (Phase("ppo", "dream", 400, overrides=CAR_OVERRIDES),)}

CAR_STORY = Story(
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
        rows=(_car_main(), *_car_agents("dream" if preset == "standard" else "world"), _car_random()),
        comparisons=(("z-and-h", "z-linear"), ("z-and-h", "z-hidden"), ("z-and-h", "untrained-m")),
        phases=CAR_PHASES.get(preset),
        references=(*REFERENCES, *leader),
        engine=Engine(POOLED_CAR, "EnvPool") if find_spec("envpool") else None,  # else all is Gymnasium's
        story=CAR_STORY,
    )


def _car_main() -> Row:
    note = "What the run ends with: its own settings, its own budget."
    return Row("main", "main agent", MainAgent(), "carracing", note, paper_real=published("carracing").agent)


def _car_agents(place: Place) -> list[Row]:
    untrained = (
        "As the row above, but C sees the state of an M with the random weights that it began with: the difference is "
        "what the training of M is worth to C as a memory."
    )
    paper = published("carracing").agent
    agents = [
        ("z-linear", "z alone, linear", Z_LINEAR, "C sees what V sees, and nothing else.", Figure(632, 251)),
        ("z-hidden", "z alone, hidden layer", Z_HIDDEN, "The same, with 40 tanh units between.", Figure(788, 141)),
        ("z-and-h", "z and h", Z_AND_H, "The paper's agent: C sees what V sees and M's state.", paper),
        ("untrained-m", "z and h, untrained M", Z_AND_H, untrained, None),
    ]
    return [
        Row(
            name,
            label,
            FreshC(place=place, controller=shape, untrained=name == "untrained-m"),
            "carracing",
            note,
            paper_real=printed,
        )
        for name, label, shape, note, printed in agents
    ]


def _car_random() -> Row:
    return Row("random", "random policy", BlindPolicy("random-network"), "carracing", "A random network each episode.")
