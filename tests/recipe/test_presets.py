"""Every preset of every world makes an experiment that fits, and the paper's is the paper's."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from reverie.controller.model import Controller
from reverie.errors import ReverieError
from reverie.learning.phases import Phase
from reverie.memory.model import MDNRNN
from reverie.recipe.experiment import PRESETS, Experiment, require_fit
from reverie.recipe.presets import make_experiment
from reverie.vision.model import ConvVAE
from reverie.worlds.registry import world_spec

WORLDS = ("doom", "carracing", "tiny", "CartPole-v1", "Pendulum-v1")
HARD = "doom-skill-5-repeat-4"
AWAKE, ASLEEP = [Phase("cmaes", "world", 9)], [Phase("cmaes", "world", 9), Phase("ppo", "dream", 9)]


@pytest.mark.parametrize("world", [*WORLDS, HARD])
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("words", [[], ["ppo:dream:3", "cmaes:world:4"], ["cmaes:world:4"]])
def test_every_preset_fits_its_world_with_any_phases(world: str, preset: str, words: list[str]) -> None:
    phases = [Phase.from_word(word) for word in words] or None
    experiment = make_experiment(world, preset, seed=7, phases=phases)
    require_fit(experiment, world_spec(world))
    assert (experiment.world, experiment.preset, experiment.seed) == (world, preset, 7)
    assert experiment.phases
    assert phases is None or experiment.phases == tuple(phases)
    if not experiment.trains_in_dream:
        assert experiment.dream.is_plain


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
        assert (experiment.cmaes.population, experiment.cmaes.episodes, experiment.cmaes.rescore_episodes) == (
            64,
            16,
            1024,
        )
    assert [phase.word() for phase in (*car.phases, *doom.phases)] == ["cmaes:world:1800", "cmaes:dream:1800"]
    assert doom.dream.temperature == 1.15


def test_the_smaller_presets_of_the_papers_worlds_have_the_same_v_m_and_c() -> None:
    for preset in PRESETS:
        assert sizes(make_experiment("doom", preset)) == (4_446_915, 1_678_785, 1_088)
        assert sizes(make_experiment("carracing", preset, phases=AWAKE)) == (4_348_547, 422_368, 867)
    assert sizes(make_experiment("carracing", "standard")) == (4_348_547, 423_906, 867)  # a dream's heads beside them


@pytest.mark.parametrize("world", WORLDS)
def test_presets_grow(world: str) -> None:
    grown = [make_experiment(world, preset) for preset in PRESETS]
    for smaller, larger in itertools.pairwise(grown):
        assert smaller.collect.episodes <= larger.collect.episodes
        assert smaller.vision.updates <= larger.vision.updates
        if {phase.method for phase in (*smaller.phases, *larger.phases)} == {"cmaes"}:
            assert smaller.phases[0].updates <= larger.phases[0].updates


def test_m_learns_what_a_dream_needs_only_where_c_trains_in_one() -> None:
    awake, asleep = (make_experiment("carracing", "quick", phases=phases).memory for phases in (AWAKE, ASLEEP))
    assert [awake.reward_head, awake.done_head, awake.restart_input] == [False, False, False]
    assert [asleep.reward_head, asleep.done_head, asleep.restart_input] == [True, True, True]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("tiny", "quik"),
            "unknown preset 'quik', expected one of tiny, quick, standard, paper; did you mean 'quick'?",
        ),
        (("dom", "quick"), "unknown world 'dom'; did you mean 'doom'? 'reverie worlds' lists them"),
    ],
)
def test_unknown_words(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(ReverieError) as error:
        make_experiment(*words)
    assert str(error.value) == message
