"""What a world does wrong, in one line that says what to do about it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reverie.errors import ReverieError

MIGRATION = "https://gymnasium.farama.org/introduction/migration_guide"
SHARED_MEMORY, LITTLE = Path("/dev/shm"), 4 * 2**20  # bytes: what some games may still want of it
ONE_ALONE = "--world.instances 1"
LONGEST = 300  # characters of an environment's own words

# what an exception's words tell -> what is behind it, and what to do
HINTS = (
    (
        r"unexpected keyword argument '(seed|options)'|unpack \(expected 5, got 4\)|must inherit from the gymnasium.Env"
        r"|No module named 'gym'|module 'numpy' has no attribute|`np\.\w+` was removed",
        f"that is the old Gym interface, or a package of its time; how to bring it up to date: {MIGRATION}",
    ),
    (
        r"unexpected keyword argument 'render_mode'",
        "its constructor takes no render_mode: give it one (`def __init__(self, render_mode=None)`) and keep it",
    ),
    (
        r"(?i)instance.*(per process|already|at a time|multiple)|(only|multiple|more than) one .*(instance|engine)"
        r"|multiple .*instances|already (been )?(running|initiali[sz]ed|created|exists)",
        f"where a process can have one alone, say so: {ONE_ALONE}",
    ),
    (
        r"(?i)message queue|shared memory|/dev/shm|shm_open",
        f"{SHARED_MEMORY} must be writable and have room (docker run --shm-size 1g)",
    ),
    (r"(?i)address already in use", f"where all of them use one port, have one at a time: {ONE_ALONE} --workers 1"),
    (
        r"(?i)mujoco_gl|glfw|\bdisplay\b|x server|x11|opengl|\begl\b|osmesa|glgeterror|no available video device",
        "without a screen it may need MUJOCO_GL=egl (or osmesa) in the environment, or `xvfb-run -a reverie ...`",
    ),
)


class ContractError(Exception):
    """A world breaks Gymnasium's contract, which no fresh one would mend: words that follow world, seed and step."""


class WorldExit(Exception):
    """A world ended the process, or tried to."""


@contextmanager
def told(name: str) -> Iterator[None]:
    """Tell what a module or a constructor raises as one line."""
    try:
        yield
    except ReverieError:
        raise
    except Exception as error:
        raise ReverieError(f"world {name!r} cannot be opened: {in_one_line(error)}") from error


def in_one_line(error: BaseException) -> str:
    """What was raised, by its kind and the first line of its words, with what to do where that is known."""
    text = _text(error)
    said = next((line.strip() for line in text.splitlines() if line.strip()), "")
    kind = "" if isinstance(error, ContractError | WorldExit | ModuleNotFoundError) else type(error).__name__
    line = ": ".join(filter(None, (kind, said[:LONGEST])))
    hint = hint_for(f"{type(error).__name__}: {text}") or _shared_memory(type(error).__name__)
    return f"{line}; {hint}" if hint else line


def _text(error: BaseException) -> str:
    """An exception's own words, without what would move a terminal's cursor; some cannot say them."""
    try:
        text = str(error)
    except Exception as again:
        text = f"(its words cannot be read: {type(again).__name__})"
    return "".join(character if character.isprintable() or character == "\n" else " " for character in text)


def hint_for(text: str) -> str:
    """What to do about an exception of these words; nothing where that is not known."""
    return next((hint for pattern, hint in HINTS if re.search(pattern, text)), "")


def _shared_memory(kind: str) -> str:
    """What to do where a game of ViZDoom ended for want of the memory that it shares with us."""
    if not kind.startswith("ViZDoom") or not SHARED_MEMORY.is_dir():
        return ""
    free = shutil.disk_usage(SHARED_MEMORY).free
    if free >= LITTLE:
        return ""
    return (
        f"{SHARED_MEMORY} has {free / 2**20:.1f} MB free, which all games share: give it more "
        "(docker run --shm-size 1g), or play with fewer workers"
    )
