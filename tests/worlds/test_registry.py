"""The door: which worlds there are, what each is, and how each wrong word is answered."""

from __future__ import annotations

from typing import Any

import pytest

from reverie.errors import ReverieError
from reverie.worlds import registry
from reverie.worlds.names import world_names
from reverie.worlds.registry import base_world, describe, make, world_spec
from reverie.worlds.spec import ActionSpec, WorldSpec

SPECS = [
    WorldSpec("doom", ActionSpec("three-way", 1), "survival", 2100),
    WorldSpec("doom-skill-5", ActionSpec("three-way", 1), "survival", 2100),
    WorldSpec("doom-repeat-4", ActionSpec("three-way", 1), "survival", 525, 4),
    WorldSpec("doom-skill-5-repeat-8", ActionSpec("three-way", 1), "survival", 262, 8),
    WorldSpec("carracing", ActionSpec("driving", 3), "predicted", 1000),
    WorldSpec("carracing-envpool", ActionSpec("driving", 3), "predicted", 1000),
    WorldSpec("tiny", ActionSpec("continuous", 1), "predicted", 100),
    WorldSpec("climb", ActionSpec("continuous", 1), "predicted", 150),
    WorldSpec("Pendulum-v1", ActionSpec("continuous", 1), "predicted", 200),
    WorldSpec("CartPole-v1", ActionSpec("discrete", 2), "predicted", 500),
    WorldSpec("reverie.worlds.tiny:reverie/Tiny-v0", ActionSpec("continuous", 1), "predicted", 100),
]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_specs(spec: WorldSpec) -> None:
    assert world_spec(spec.name) == spec


@pytest.mark.parametrize("name", ["doom", "carracing", "tiny", "climb", "reverie.worlds.tiny:reverie/Tiny-v0"])
def test_every_world_keeps_the_contract(name: str) -> None:
    if name == "doom":
        pytest.importorskip("vizdoom")
    if name == "carracing":
        pytest.importorskip("Box2D")
    worlds = make(name, 2, seed=0)
    frames, _ = worlds.reset()
    assert frames in worlds.observation_space
    worlds.action_space.seed(0)
    frames, rewards, terminated, truncated, infos = worlds.step(worlds.action_space.sample())
    assert frames in worlds.observation_space
    assert rewards.shape == terminated.shape == truncated.shape == infos["died"].shape == (2,)
    assert worlds.world_spec == world_spec(name)
    worlds.close()


def test_auto_prefers_envpool_and_does_without(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("Box2D")
    pytest.importorskip("envpool")
    from reverie.worlds.carracing import PooledCars
    from reverie.worlds.serial import SerialBackend

    assert isinstance(make("carracing")._backend, PooledCars)
    hide(monkeypatch, "envpool")
    assert isinstance(make("carracing")._backend, SerialBackend)


def test_envpools_car_is_a_world_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("envpool")
    from reverie.worlds.carracing import PooledCars

    worlds = make("carracing-envpool", 2)
    assert isinstance(worlds._backend, PooledCars)
    assert worlds.world_spec.name == "carracing-envpool"
    assert [base_world(name) for name in ("carracing-envpool", "doom-skill-5-repeat-4", "doom-repeat-2", "tiny")] == [
        "carracing",
        "doom",
        "doom",
        "tiny",
    ]
    hide(monkeypatch, "envpool")
    with pytest.raises(ReverieError, match="needs EnvPool"):
        make("carracing-envpool")


def test_describe_names_every_world() -> None:
    lines = describe().splitlines()
    assert [line.split()[0] for line in lines[:-1]] == world_names() == ["doom", "carracing", "tiny", "climb"]


def test_describe_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "vizdoom")
    assert describe().splitlines()[0].endswith("(not installed: pip install 'reverie[doom]')")


def hide(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    """Let `module` seem not to be installed."""
    found = registry.find_spec
    monkeypatch.setattr(registry, "find_spec", lambda name: None if name == module else found(name))


MISSING = [
    ("vizdoom", "doom", {}, "world 'doom' needs ViZDoom, which is not installed: pip install 'reverie[doom]'"),
    (
        "Box2D",
        "carracing",
        {"engine": "gymnasium"},
        "world 'carracing' needs Box2D, which is not installed: pip install 'reverie[carracing]'",
    ),
    (
        "envpool",
        "carracing",
        {"engine": "envpool"},
        "world 'carracing' needs EnvPool, which is not installed: pip install 'reverie[fast]'",
    ),
]


@pytest.mark.parametrize(("module", "name", "options", "message"), MISSING)
def test_missing_extras(
    monkeypatch: pytest.MonkeyPatch, module: str, name: str, options: dict[str, Any], message: str
) -> None:
    hide(monkeypatch, module)
    with pytest.raises(ReverieError) as caught:
        make(name, **options)
    assert str(caught.value) == message


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("doon", {}, "unknown world 'doon'; did you mean 'doom'? 'reverie worlds' lists them"),
    ("car-racing", {}, "unknown world 'car-racing'; did you mean 'carracing'? 'reverie worlds' lists them"),
    ("LunarLandr-v3", {}, "unknown world 'LunarLandr-v3'; did you mean 'LunarLander-v3'? 'reverie worlds' lists them"),
    ("", {}, "unknown world ''; 'reverie worlds' lists them"),
    ("qqqq", {}, "unknown world 'qqqq'; 'reverie worlds' lists them"),
    (
        "Q/Z-v5",
        {},
        "unknown world 'Q/Z-v5'; if another package registers it, write 'package:Q/Z-v5'; 'reverie worlds' lists them",
    ),
    ("json:Qqqq-v0", {}, "'json' registers no world 'Qqqq-v0'; it must call gymnasium.register when imported"),
    (
        "nowhere:Env-v0",
        {},
        "world 'nowhere:Env-v0' names module 'nowhere', which cannot be imported: No module named 'nowhere'",
    ),
    ("tiny", {"num_envs": 0}, "num_envs is 0, expected at least 1"),
    ("tiny", {"engine": "envpool"}, "engine 'envpool' was asked for world 'tiny', but it runs only 'carracing'"),
    (
        "carracing-envpool",
        {"engine": "gymnasium"},
        "engine 'gymnasium' was asked for world 'carracing-envpool', which is EnvPool's by its name; open 'carracing'",
    ),
    ("carracing", {"engine": "unity"}, "unknown engine 'unity'; expected auto, gymnasium or envpool"),
    ("tiny", {"skill": 5}, "skill=5 was given for world 'tiny', but only 'doom' has skills"),
    ("doom", {"skill": 0}, "skill is 0, expected 1 to 5"),
    ("doom", {"skill": 6}, "skill is 6, expected 1 to 5"),
    ("doom-skill-7", {}, "skill is 7, expected 1 to 5"),
    ("doom-repeat-1", {}, "repeat is 1, expected 2 to 35 steps"),
    ("doom-skill-5-repeat-36", {}, "repeat is 36, expected 2 to 35 steps"),
    ("doom-skill-5", {"skill": 3}, "skill=3 was given for world 'doom-skill-5', but only 'doom' has skills"),
]


@pytest.mark.parametrize(("name", "options", "message"), REFUSED)
def test_refusals(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ReverieError) as caught:
        make(name, **options)
    assert str(caught.value) == message
