"""Phases as words of the command line and as JSON, which of them a round has, and what no phase can be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from reverie.errors import ReverieError
from reverie.learning.config import CMAESConfig, PPOConfig
from reverie.learning.phases import Phase, planned, require_method
from reverie.worlds.spec import ActionSpec, WorldSpec

FORM = "a phase is METHOD:PLACE:UPDATES[:ROUNDS[:SETTING=VALUE,...]]"
SECTIONS = {"ppo": PPOConfig(num_envs=7, gamma=0.9), "cmaes": CMAESConfig(population=5)}
WORDS = {
    "ppo:dream:450": Phase("ppo", "dream", 450),
    "cmaes:world:30:last": Phase("cmaes", "world", 30, "last"),
    "backprop:dream:9:first": Phase("backprop", "dream", 9, "first"),
    "ppo:dream:120:all:reward_clip=1.5,average_last=50,bootstrap_at_end=true,target_kl=none": Phase(
        "ppo",
        "dream",
        120,
        "all",
        (("reward_clip", 1.5), ("average_last", 50), ("bootstrap_at_end", True), ("target_kl", None)),
    ),
}


@pytest.mark.parametrize(("word", "phase"), WORDS.items(), ids=str)
def test_a_word_and_json_say_the_same(word: str, phase: Phase) -> None:
    assert Phase.from_word(word) == phase
    assert phase.word() == word
    assert Phase.from_dict(json.loads(json.dumps(phase.as_dict()))) == phase


def test_words_may_be_written_otherwise() -> None:
    assert Phase.from_word("ppo:dream:3:all") == Phase.from_word("ppo:dream:3:") == Phase("ppo", "dream", 3)
    found = Phase.from_word("ppo:dream:3::num-envs=4, target_kl=None,")
    assert found.overrides == (("num_envs", 4), ("target_kl", None))


BROKEN = {
    "ppo": f"phase 'ppo' is not understood, expected {FORM[11:]}, such as ppo:dream:300",
    "ppo:dream:many": f"phase 'ppo:dream:many' is not understood, expected {FORM[11:]}, such as ppo:dream:300",
    "ppo:dream:-1": f"phase 'ppo:dream:-1' is not understood, expected {FORM[11:]}, such as ppo:dream:300",
    "sac:dream:9": f"phase 'sac:dream:9' has method 'sac', expected cmaes, ppo or backprop; {FORM}",
    "ppo:moon:9": f"phase 'ppo:moon:9' has place 'moon', expected dream or world; {FORM}",
    "ppo:dream:9:odd": f"phase 'ppo:dream:9:odd' has rounds 'odd', expected all, first, later or last; {FORM}",
    "ppo:dream:0": "phase 'ppo:dream:0' has 0 updates, expected at least 1; or leave it out",
    "backprop:world:9": "phase 'backprop:world:9': nothing can be differentiated in the world; use ppo or cmaes",
    "cmaes:dream:9:all:gamma=1": (
        "phase 'cmaes:dream:9:all:gamma=1' sets 'gamma', expected one of population, episodes, sigma, max_steps, "
        "no_reward_timeout, rescore_every, rescore_episodes"
    ),
}


@pytest.mark.parametrize(("word", "message"), BROKEN.items(), ids=BROKEN)
def test_refuses_words_that_say_no_phase(word: str, message: str) -> None:
    with pytest.raises(ReverieError) as error:
        Phase.from_word(word)
    assert str(error.value) == message


GOOD = Phase("ppo", "dream", 9).as_dict()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (3, "phases hold 3, expected objects of method, place, updates, rounds, overrides"),
        ({"method": "ppo"}, "phases hold {'method': 'ppo'}, expected objects of method, place, updates, rounds, "),
        (GOOD | {"overrides": []}, "expected objects of method, place, updates, rounds, overrides"),
        (GOOD | {"updates": 2.0}, "phases hold updates 2.0, expected a whole number"),
        (GOOD | {"updates": True}, "phases hold updates True, expected a whole number"),
        (GOOD | {"place": None}, "has place None, expected dream or world"),
        (GOOD | {"overrides": {"x": 1}}, "sets 'x', expected one of num_envs, num_steps"),
    ],
)
def test_refuses_json_that_says_no_phase(data: Any, message: str) -> None:
    with pytest.raises(ReverieError) as error:
        Phase.from_dict(data)
    assert message in str(error.value)


def test_a_rounds_phases_keep_their_numbers_and_have_their_settings() -> None:
    words = ["ppo:dream:4:first", "ppo:dream:3:later:gamma=0.5", "cmaes:world:2", "backprop:dream:1:last"]
    phases = [Phase.from_word(word) for word in words]
    rounds = [[item.number for item in planned(phases, SECTIONS, round, 2)] for round in (0, 1, 2)]
    assert rounds == [[1, 3], [2, 3], [2, 3, 4]]
    assert [item.number for item in planned(phases, SECTIONS, 0, 0)] == [1, 3, 4]  # the first round is the last
    _, search, slope = planned(phases, SECTIONS, 2, 2)
    assert planned(phases, SECTIONS, 1, 2)[0].config == PPOConfig(num_envs=7, gamma=0.5)
    assert (search.config, slope.config) == (SECTIONS["cmaes"], SECTIONS["ppo"])
    assert search.folder(Path("controller")) == Path("controller/3-cmaes-world")


def test_a_phases_settings_must_be_possible() -> None:
    with pytest.raises(ReverieError) as error:
        Phase.from_word("ppo:dream:3:all:gamma=7").config(SECTIONS)
    assert str(error.value) == "phase 'ppo:dream:3:all:gamma=7': ppo.gamma is 7, expected 0 to 1"
    with pytest.raises(ReverieError, match=r"^phase 'ppo:dream:3:all:gamma=much': .*str"):
        Phase.from_word("ppo:dream:3:all:gamma=much").config(SECTIONS)


def world(kind: Any, reward: Any) -> WorldSpec:
    return WorldSpec("small", ActionSpec(kind, 1), reward, 60)


NO_GRADIENT = (
    "phases hold backprop, and the actions of small are {}, which have no gradient; "
    "expected continuous or driving ones; use ppo"
)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (world("three-way", "predicted"), NO_GRADIENT.format("three-way")),
        (world("discrete", "survival"), NO_GRADIENT.format("discrete")),
        (
            world("continuous", "survival"),
            "phases hold backprop, and the reward of small is to survive, where dream.termination 'threshold' has no "
            "gradient; set it to calibrated or sample, or use ppo",
        ),
    ],
)
def test_refuses_backprop_where_nothing_has_a_slope(spec: WorldSpec, message: str) -> None:
    slope, other = Phase("backprop", "dream", 1), Phase("ppo", "dream", 1)
    with pytest.raises(ReverieError) as error:
        require_method([other, slope], spec, "threshold")
    assert str(error.value) == message
    require_method([other], spec, "threshold")
    require_method([slope], world("continuous", "survival"), "calibrated")
    require_method([slope], world("driving", "predicted"), "threshold")
