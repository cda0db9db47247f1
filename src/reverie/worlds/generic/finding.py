"""Where a Gymnasium id comes from: a package, a module or file of the current folder, or the running program."""

from __future__ import annotations

import difflib
import json
import os
import re
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gymnasium as gym

from reverie.errors import ReverieError
from reverie.files.modules import import_here
from reverie.worlds.contained import Contained
from reverie.worlds.faults import WorldExit, in_one_line
from reverie.worlds.names import world_names

REGISTERED = "REVERIE_REGISTERED"  # the ids of the main program, told to its workers in their environment
TOO_LATE = "put its class into a module, register it there, and name it 'module:{id}'"


# how the ids of a family begin -> the packages that it needs, the module that registers it, what pip is to install
FAMILIES = {
    "ALE/": (("ale_py",), "ale_py", "reverie[atari]"),
    "MiniGrid-": (("minigrid",), "minigrid", "reverie[minigrid]"),
    "BabyAI-": (("minigrid",), "minigrid", "reverie[minigrid]"),
    "dm_control/": (("shimmy", "dm_control"), "shimmy", "shimmy[dm-control]"),
    "Vizdoom": (("vizdoom",), "vizdoom.gymnasium_wrapper", "reverie[doom]"),
    "procgen": (("procgen",), "procgen", "procgen"),
    "Crafter": (("crafter",), "reverie.worlds.generic.crafter", "crafter"),
}


def find_id(name: str, text: str) -> str:
    """The id under which Gymnasium knows `text` now, which is ID, MODULE:ID or FILE.py:ID; modules are imported.

    Raises: ReverieError where there is no such module or id.
    """
    place, separator, gym_id = text.rpartition(":")
    if separator:
        _import(name, place)
    elif not _is_registered(gym_id):
        _import_family(name, gym_id)
    if _is_registered(gym_id) or _register_as_told(gym_id):
        _tell_workers(gym_id)
        return gym_id
    near = difflib.get_close_matches(gym_id, [*world_names(), *gym.registry], n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    if separator:
        raise ReverieError(
            f"{place!r} registers no world {gym_id!r}; {hint}it must call gymnasium.register when imported"
        )
    if gym_id in _told():
        raise ReverieError(
            f"world {name!r} is registered by the program that was started, which workers do not import: "
            f"{TOO_LATE.format(id=gym_id)}, or play without workers (workers=0)"
        )
    if "/" in gym_id:
        hint += f"if another package registers it, write 'package:{gym_id}'; "
    elif re.search(r"-v\d+$", gym_id) and not near:
        hint += f"if a program of yours registers it, {TOO_LATE.format(id=gym_id)}; "
    raise ReverieError(f"unknown world {name!r}; {hint}'reverie worlds' lists them")


def _import(name: str, place: str) -> None:
    """Import what stands before the id: a module's name, or a file's, with its folder and its .py or without."""
    try:
        with Contained()():
            if "/" in place or os.sep in place or place.endswith(".py"):
                _import_file(place)
            else:
                import_here(place)
    except FileNotFoundError as error:
        if error.filename != place:
            raise ReverieError(f"world {name!r}: module {place!r} cannot be imported: {in_one_line(error)}") from None
        raise ReverieError(
            f"world {name!r} names the file {place!r}, which is not there, seen from {os.getcwd()}; give its path"
        ) from None
    except (Exception, WorldExit) as error:
        raise ReverieError(
            f"world {name!r} names module {place!r}, which cannot be imported: {in_one_line(error)}"
        ) from None


def _import_family(name: str, gym_id: str) -> None:
    """Import the package whose ids begin so, where it is one that we know."""
    for start, (packages, module, install) in FAMILIES.items():
        if gym_id.startswith(start):
            missing = next((package for package in packages if find_spec(package) is None), None)
            if missing is not None:
                raise ReverieError(f"world {name!r} needs {missing}, which is not installed: pip install '{install}'")
            _import(name, module)


def _import_file(place: str) -> None:
    path = Path(place if place.endswith(".py") else f"{place}.py")
    if not path.is_file() and Path(place, "__init__.py").is_file():
        path = Path(place)
    if not path.exists():
        raise FileNotFoundError(2, "no such file", place)
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # what it imports may lie here
    loaded = sys.modules.get(path.stem)
    if loaded is not None and Path(getattr(loaded, "__file__", None) or "").resolve().parent not in (
        path.resolve(),
        path.resolve().parent,
    ):
        raise ImportError(
            f"a module {path.stem!r} was imported before, from {getattr(loaded, '__file__', 'elsewhere')}"
        )
    import_module(path.stem)


def _is_registered(gym_id: str) -> bool:
    try:
        gym.spec(gym_id)
    except gym.error.Error:
        return False
    return True


def _told() -> dict[str, Any]:
    try:
        found = json.loads(os.environ.get(REGISTERED, "{}"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _tell_workers(gym_id: str) -> None:
    """Note how an id came to be, for processes that do not run the program that registered it."""
    spec, told = gym.spec(gym_id), _told()
    if gym_id in told or gym_id in _shipped():
        return
    entry = spec.entry_point
    if not isinstance(entry, str):
        module, within = getattr(entry, "__module__", "__main__"), getattr(entry, "__qualname__", "<locals>")
        entry = None if module == "__main__" or "<" in within else f"{module}:{within}"
    about = {"entry_point": entry, "max_episode_steps": spec.max_episode_steps, "kwargs": spec.kwargs}
    try:
        os.environ[REGISTERED] = json.dumps(told | {gym_id: about})
    except (TypeError, ValueError):  # arguments that only this program has
        os.environ[REGISTERED] = json.dumps(told | {gym_id: about | {"entry_point": None, "kwargs": {}}})


def _register_as_told(gym_id: str) -> bool:
    about = _told().get(gym_id)
    if about is None or about["entry_point"] is None:
        return False
    gym.register(gym_id, **about)
    return True


def _shipped() -> set[str]:
    """The ids that come with Gymnasium, and those of modules that are imported by their name."""
    return {key for key, spec in gym.registry.items() if str(spec.entry_point).startswith("gymnasium.")}
