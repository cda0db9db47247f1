"""Every preset of every world makes an experiment that fits, and the paper's is the paper's."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from reverie.controller.model import Controller
from reverie.errors import ReverieError
from reverie.memory.model import MDNRNN
from reverie.recipe.experiment import PRESETS, Experiment, require_fit
from reverie.recipe.presets import make_experiment
from reverie.vision.model import ConvVAE
from reverie.worlds.registry import world_spec
from tests.small_runs import ROOT

PAGE = ROOT / "docs" / "presets.md"
WORLDS = ("doom", "carracing", "tiny", "CartPole-v1", "Pendulum-v1")
HARD = "doom-skill-5-repeat-4"


@pytest.mark.parametrize("world", [*WORLDS, HARD])
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("where", [None, "dream", "world"])
def test_every_preset_fits_its_world(world: str, preset: str, where: str | None) -> None:
    experiment = make_experiment(world, preset, seed=7, evolve_in=where)  # type: ignore[arg-type]
    require_fit(experiment, world_spec(world))
    assert (experiment.world, experiment.preset, experiment.seed) == (world, preset, 7)
    assert experiment.evolution.where == where or (where is None and experiment.evolution.where in ("dream", "world"))


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize(("name", "world"), [("doom-skill-5", "doom"), ("carracing-envpool", "carracing")])
def test_a_world_by_another_name_has_its_settings(name: str, world: str, preset: str) -> None:
    assert make_experiment(name, preset) == replace(make_experiment(world, preset), world=name)


@pytest.mark.parametrize("preset", PRESETS)
def test_the_hardest_skill_with_a_frame_skip_has_a_standard_of_its_own(preset: str) -> None:
    plain = replace(make_experiment("doom", preset), world=HARD)
    assert (make_experiment(HARD, preset) == plain) == (preset != "standard")


def sizes(experiment: Experiment) -> tuple[int, int, int]:
    """Parameters of V, M and C."""
    memory = MDNRNN(experiment.memory)
    features = experiment.controller.feature_size(experiment.vision.latent_size, experiment.memory.hidden_size)
    controller = Controller(experiment.controller, features, world_spec(experiment.world).actions)
    vision = ConvVAE(experiment.vision.latent_size)
    counts = (sum(weight.numel() for weight in model.parameters()) for model in (vision, memory))
    return (*counts, controller.parameter_count)  # type: ignore[return-value]


def test_the_papers_presets_have_the_papers_sizes_and_counts() -> None:
    car, doom = make_experiment("carracing", "paper"), make_experiment("doom", "paper")
    assert sizes(car) == (4_348_547, 422_368, 867)
    assert sizes(doom) == (4_446_915, 1_678_785, 1_088)
    for experiment in (car, doom):
        assert experiment.collect.episodes == 10_000
        assert (experiment.evolution.population, experiment.evolution.rollouts) == (64, 16)
        assert (experiment.evolution.generations, experiment.evolution.rescore_rollouts) == (1800, 1024)
    assert (car.evolution.where, doom.evolution.where) == ("world", "dream")
    assert doom.dream.temperature == 1.15


def test_the_smaller_presets_of_the_papers_worlds_have_the_same_v_m_and_c() -> None:
    for preset in PRESETS:
        assert sizes(make_experiment("doom", preset)) == (4_446_915, 1_678_785, 1_088)
        assert sizes(make_experiment("carracing", preset, evolve_in="world")) == (4_348_547, 422_368, 867)
    assert sizes(make_experiment("carracing", "standard")) == (4_348_547, 423_906, 867)  # a dream's heads beside them


@pytest.mark.parametrize("world", WORLDS)
def test_presets_grow(world: str) -> None:
    grown = [make_experiment(world, preset) for preset in PRESETS]
    for smaller, larger in itertools.pairwise(grown):
        assert smaller.collect.episodes <= larger.collect.episodes
        assert smaller.vision.updates <= larger.vision.updates
        if not smaller.gradient.updates and not larger.gradient.updates:
            assert smaller.evolution.generations <= larger.evolution.generations


def test_m_learns_what_a_dream_needs_only_where_c_trains_in_one() -> None:
    awake, asleep = (make_experiment("carracing", "quick", evolve_in=where).memory for where in (None, "dream"))
    assert [awake.reward_head, awake.done_head, awake.restart_input] == [False, False, False]
    assert [asleep.reward_head, asleep.done_head, asleep.restart_input] == [True, True, True]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("tiny", "quik"),
            "unknown preset 'quik', expected one of tiny, quick, standard, paper; did you mean 'quick'?",
        ),
        (("tiny", "quick", "sea"), "evolve_in is 'sea', expected dream or world"),
        (("dom", "quick"), "unknown world 'dom'; did you mean 'doom'? 'reverie worlds' lists them"),
    ],
)
def test_unknown_words(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(ReverieError) as error:
        make_experiment(*words[:2], evolve_in=words[2] if len(words) > 2 else None)  # type: ignore[arg-type]
    assert str(error.value) == message


def row(world: str, preset: str) -> str:
    """A preset's row in docs/presets.md."""
    experiment = make_experiment(world, preset)
    collect, v, m, c = experiment.collect, experiment.vision, experiment.memory, experiment.evolution
    g = experiment.gradient
    evolved = f"{c.generations:,} x {c.population} x {c.rollouts}, in the {c.where}"
    learned = f"gradients: {g.updates:,} x {g.dreams:,} x {g.window} steps, in the dream"
    how = [learned] * (g.updates > 0) + [evolved] * (c.generations > 0)
    return (
        f"| `{preset}` | {collect.episodes:,} of at most {collect.max_steps:,} steps "
        f"| {v.updates:,} x {v.batch_size} frames | {m.updates:,} x {m.batch_size} x {m.window} steps "
        f"| {'; '.join(how)} |"
    )


@pytest.mark.parametrize(("world", "title"), [(world, f"`{world}`") for world in ("doom", "carracing", "tiny")])
def test_the_page_says_what_the_presets_are(world: str, title: str) -> None:
    section = PAGE.read_text().partition(f"## {title}")[2].partition("\n## ")[0]
    assert [line for line in section.splitlines() if line.startswith("| `")] == [row(world, name) for name in PRESETS]


def test_the_page_says_what_the_hardest_skills_standard_is() -> None:
    section = PAGE.read_text().partition(f"## `{HARD}`")[2].partition("\n## ")[0]
    assert [line for line in section.splitlines() if line.startswith("| `")] == [row(HARD, "standard")]


def test_the_page_says_what_the_presets_of_any_other_world_are() -> None:
    section = PAGE.read_text().partition("## Any other world")[2]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    assert rows[:-1] == [row("CartPole-v1", name).replace("500 steps", "1,000 steps") for name in PRESETS]
    assert rows[-1] == row("Pendulum-v1", "quick")
