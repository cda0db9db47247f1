"""What a run says of a Gymnasium id beyond its name, as part of the name: "MyEnv-v0?observation=rgb&seeds=100".

One string goes wherever a world's name goes: to workers, into run folders, exports and reports.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from urllib.parse import parse_qsl, quote, unquote

from reverie.errors import ReverieError
from reverie.workers.seeds import EVALUATION_SEED_BASE

HELD_OUT = 5  # one in so many of a world's few seeds is kept for scores


@dataclass(frozen=True)
class WorldOptions:
    """Of a world that is opened by its Gymnasium id.

    observation: the picture to take where observations have several, by its key ("cameras.front")
    seeds: how many seeds it has, from 0 on; scores take the last fifth of them. None: any
    instances: how many of it a process can hold at a time. None: any
    repeat: for how many of its steps an action is taken, their rewards summed (a frame skip). None: one
    """

    observation: str | None = None
    seeds: int | None = None
    instances: int | None = None
    repeat: int | None = None

    def __post_init__(self) -> None:
        for name, least in (("seeds", 2), ("instances", 1), ("repeat", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ReverieError(f"--world.{name} is {value}; expected a whole number, {least} or more")

    def seed(self, seed: int) -> int:
        """The world's own seed for one of ours; those that train and those that evaluate stay apart."""
        if self.seeds is None:
            return seed
        trained = self.seeds - max(1, self.seeds // HELD_OUT)
        return seed % trained if seed < EVALUATION_SEED_BASE else trained + seed % (self.seeds - trained)


KNOWN = tuple(field.name for field in fields(WorldOptions))


def split_name(name: str) -> tuple[str, WorldOptions]:
    """A world's name without its options, and those."""
    plain, mark, text = name.partition("?")
    if not mark:
        return name, WorldOptions()
    found: dict[str, str] = dict(parse_qsl(text, keep_blank_values=True))
    return plain, WorldOptions(**{key: _value(key, value) for key, value in found.items()})  # type: ignore[arg-type]


def join_name(name: str, options: dict[str, str]) -> str:
    """The name with these options, checked, beside those that it has."""
    plain, _, text = name.partition("?")
    found = dict(parse_qsl(text, keep_blank_values=True)) | options
    for key, value in found.items():
        _value(key, value)
    joined = "&".join(f"{key}={quote(unquote(value), safe='.')}" for key, value in found.items())
    return f"{plain}?{joined}" if joined else plain


def _value(key: str, text: str) -> str | int:
    if key not in KNOWN:
        raise ReverieError(f"a world has no setting {key!r}; expected {', '.join(f'--world.{name}' for name in KNOWN)}")
    if key == "observation":
        return text
    if not text.isdecimal():
        raise ReverieError(f"--world.{key} is {text!r}; expected a whole number")
    return int(text)
