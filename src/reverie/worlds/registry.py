"""The one door to every world: `world_spec` tells what it is, `make` opens it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal, NamedTuple

from reverie.errors import ReverieError

if TYPE_CHECKING:
    from reverie.worlds.serial import SingleWorld
    from reverie.worlds.spec import WorldSpec
    from reverie.worlds.vector import Backend, WorldVectorEnv

Engine = Literal["auto", "gymnasium", "envpool"]

DESCRIPTIONS = {
    "doom": "ViZDoom's Take Cover: step left and right to survive fireballs",
    "carracing": "CarRacing-v3: drive around a track, in Gymnasium's engine or EnvPool's",
    "tiny": "Follow: keep a bar as long as one that wanders; learned in under a minute",
    "climb": "Climb: swing out of a valley that random play does not leave",
}

DOOM_VARIANT = re.compile(r"doom(?:-skill-(-?\d+))?(?:-repeat-(-?\d+))?")
LONGEST_REPEAT = 35  # steps that one action of Take Cover can last: a second
POOLED_CAR = "carracing-envpool"  # the car as it trains, by a name of its own

# world -> (module, product, extra of this package), what it cannot do without
NEEDS = {"doom": ("vizdoom", "ViZDoom", "doom"), "carracing": ("Box2D", "Box2D", "carracing")}


def world_names() -> list[str]:
    """The worlds with a name of their own; every Gymnasium id is a world too."""
    return list(DESCRIPTIONS)


def describe() -> str:
    """One line for each named world, with the command that installs what is missing, and one for all others."""
    lines = [f"{name:<10} {text}{_install_hint(name)}" for name, text in DESCRIPTIONS.items()]
    return "\n".join(
        [*lines, "Any Gymnasium id with Box or Discrete actions is a world too: 'LunarLander-v3', 'module:Env-v0'"]
    )


def world_spec(name: str) -> WorldSpec:
    """A world's actions, kind of reward and cap; a Gymnasium id is opened briefly to ask."""
    variant = doom_variant(name)
    if variant is not None:
        from reverie.worlds.doom import DOOM

        return replace(DOOM, name=name, max_steps=DOOM.max_steps // variant.repeat, repeat=variant.repeat)
    if name in ("carracing", POOLED_CAR):
        from reverie.worlds.carracing import CARRACING

        return replace(CARRACING, name=name)
    if name == "tiny":
        from reverie.worlds.tiny import TINY

        return TINY
    if name == "climb":
        from reverie.worlds.climb import CLIMB

        return CLIMB
    from reverie.worlds.generic import generic_spec

    _check_known(name)
    return generic_spec(name)


class DoomVariant(NamedTuple):
    """What a name says of Take Cover: its skill (None: the scenario's own) and how many steps an action lasts."""

    skill: int | None = None
    repeat: int = 1


def doom_variant(name: str) -> DoomVariant | None:
    """Read "doom", "doom-skill-5", "doom-repeat-4" or "doom-skill-5-repeat-4"; None for any other world.

    Raises: ReverieError for a skill beyond 1 to 5, and for a repeat beyond 2 to 35.
    """
    found = DOOM_VARIANT.fullmatch(name)
    if found is None:
        return None
    skill, repeat = (None if part is None else int(part) for part in found.groups())
    if skill is not None and not 1 <= skill <= 5:
        raise ReverieError(f"skill is {skill}, expected 1 to 5")
    if repeat is not None and not 2 <= repeat <= LONGEST_REPEAT:
        raise ReverieError(f"repeat is {repeat}, expected 2 to {LONGEST_REPEAT} steps")
    return DoomVariant(skill, repeat or 1)


def repeat_of(name: str) -> int:
    """The steps of the game that a step of this world lasts."""
    variant = doom_variant(name)
    return 1 if variant is None else variant.repeat


def base_world(name: str) -> str:
    """The world that one by another name is a variant of: "doom" of "doom-skill-5", "carracing" of its EnvPool copy."""
    if name == POOLED_CAR:
        return "carracing"
    return name if doom_variant(name) is None else "doom"


def make(
    name: str, num_envs: int = 1, seed: int | None = None, *, engine: Engine = "auto", skill: int | None = None
) -> WorldVectorEnv:
    """Open `num_envs` sub-environments of a world.

    seed: where `reset` without seeds draws them from.
    engine: for carracing, "envpool" (training), "gymnasium" (published scores) or "auto": EnvPool where installed.
        EnvPool's is also a world by its name, "carracing-envpool".
    skill: for doom, 1 to 5; 4 is the scenario's own. Skill 5 is also a world by its name, "doom-skill-5".
    """
    from reverie.worlds.vector import WorldVectorEnv

    if num_envs < 1:
        raise ReverieError(f"num_envs is {num_envs}, expected at least 1")
    if engine not in ("auto", "gymnasium", "envpool"):
        raise ReverieError(f"unknown engine {engine!r}; expected auto, gymnasium or envpool")
    if engine == "envpool" and name not in ("carracing", POOLED_CAR):
        raise ReverieError(f"engine 'envpool' was asked for world {name!r}, but it runs only 'carracing'")
    if engine == "gymnasium" and name == POOLED_CAR:
        raise ReverieError(
            f"engine 'gymnasium' was asked for world {name!r}, which is EnvPool's by its name; open 'carracing'"
        )
    if skill is not None and name != "doom":
        raise ReverieError(f"skill={skill} was given for world {name!r}, but only 'doom' has skills")
    if skill is not None:
        name = f"{name}-skill-{skill}"
    return WorldVectorEnv(world_spec(name), _backend(name, num_envs, engine), seed)


def _backend(name: str, num_envs: int, engine: Engine) -> Backend:
    from reverie.worlds.serial import SerialBackend

    variant = doom_variant(name)
    if variant is not None:
        return SerialBackend(_doom_maker(variant), num_envs)
    if name in ("carracing", POOLED_CAR):
        return _car_backend(num_envs, "envpool" if name == POOLED_CAR else engine)
    if name == "tiny":
        from reverie.worlds.tiny import FollowGames

        return FollowGames(num_envs)
    if name == "climb":
        from reverie.worlds.climb import ClimbGames

        return ClimbGames(num_envs)
    from reverie.worlds.generic import GenericWorld

    return SerialBackend(lambda: GenericWorld(name), num_envs)


def _doom_maker(variant: DoomVariant) -> Callable[[], SingleWorld]:
    _require("doom", *NEEDS["doom"])
    from reverie.worlds.doom import SKILL, DoomWorld

    return lambda: DoomWorld(SKILL if variant.skill is None else variant.skill, variant.repeat)


def _car_backend(num_envs: int, engine: Engine) -> Backend:
    from reverie.worlds.carracing import CarWorld, PooledCars
    from reverie.worlds.serial import SerialBackend

    if engine == "auto":
        engine = "gymnasium" if find_spec("envpool") is None else "envpool"
    if engine == "envpool":
        _require("carracing", "envpool", "EnvPool", "fast")
        return PooledCars(num_envs)
    _require("carracing", *NEEDS["carracing"])
    return SerialBackend(CarWorld, num_envs)


def _install_hint(name: str) -> str:
    module, _, extra = NEEDS.get(name, ("numpy", "NumPy", ""))
    return "" if find_spec(module) else f" (not installed: pip install 'reverie[{extra}]')"


def _require(world: str, module: str, product: str, extra: str) -> None:
    if find_spec(module) is None:
        raise ReverieError(f"world {world!r} needs {product}, which is not installed: pip install 'reverie[{extra}]'")


def _check_known(name: str) -> None:
    """Refuse a name that is neither ours nor registered with Gymnasium; "module:EnvId" imports the module first."""
    import gymnasium as gym

    module, separator, environment = name.rpartition(":")
    if separator:
        _import_environments(name, module)
    try:
        gym.spec(environment)
    except gym.error.Error:
        known = [*DESCRIPTIONS, *gym.registry]
        near = difflib.get_close_matches(environment, known, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        if "/" in name and not separator:
            hint += f"if another package registers it, write 'package:{name}'; "
        raise ReverieError(f"unknown world {name!r}; {hint}'reverie worlds' lists them") from None


def _import_environments(name: str, module: str) -> None:
    try:
        import_module(module)
    except (ImportError, ValueError) as error:
        raise ReverieError(f"world {name!r} names module {module!r}, which cannot be imported: {error}") from None
