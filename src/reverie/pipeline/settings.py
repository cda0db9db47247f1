"""Settings to and from plain JSON: frozen dataclasses out, checked frozen dataclasses back in."""

from __future__ import annotations

import difflib
import json
import types
from collections.abc import Iterator
from dataclasses import asdict, fields, is_dataclass
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from reverie.errors import ReverieError

Settings = TypeVar("Settings")


def to_json(settings: Any) -> dict[str, Any]:
    """A settings dataclass as nested plain dictionaries (tuples become lists)."""
    plain: dict[str, Any] = json.loads(json.dumps(asdict(settings)))
    return plain


def from_json(kind: type[Settings], data: Any, where: str) -> Settings:
    """Rebuild the dataclass `kind` from `data`; `where` names the file in the error of a bad key or value."""
    if not isinstance(data, dict):
        raise ReverieError(f"{where} holds {type(data).__name__}, expected an object of settings")
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    for key in data:
        if key not in names:
            near = difflib.get_close_matches(key, names, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; expected one of {', '.join(names)}"
            raise ReverieError(f"{where} has an unknown setting {key!r}{hint}")
    for name in names:
        if name not in data:
            raise ReverieError(f"{where} lacks the setting {name!r}; was it edited by hand?")
    hints = get_type_hints(kind)
    return kind(**{name: _value(hints[name], data[name], where, name) for name in names})


def _value(hint: Any, value: Any, where: str, name: str) -> Any:
    if is_dataclass(hint):
        return from_json(hint, value, f"{where}: {name}")  # type: ignore[arg-type]
    if get_origin(hint) is tuple and isinstance(value, list):
        item = get_args(hint)[0]
        return tuple(_value(item, entry, where, name) for entry in value)
    if not _fits(hint, value):
        raise ReverieError(f"{where}: setting {name!r} is {value!r}, expected {_describe(hint)}")
    return float(value) if hint is float else value


def _fits(hint: Any, value: Any) -> bool:
    if get_origin(hint) in (Union, types.UnionType):
        return any(_fits(option, value) for option in get_args(hint))
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint is type(None):
        return value is None
    return isinstance(hint, type) and isinstance(value, hint)


def _describe(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(repr(option) for option in get_args(hint))
    return hint.__name__ if isinstance(hint, type) else str(hint)


def differences(before: dict[str, Any], after: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Lines such as `vision.updates: 1500 there, 200 asked for` for every setting that differs."""
    for key in sorted(before.keys() | after.keys()):
        name, old, new = f"{prefix}{key}", before.get(key), after.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from differences(old, new, f"{name}.")
        elif old != new:
            yield f"{name}: {old!r} there, {new!r} asked for"
