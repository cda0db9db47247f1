"""Settings to and from plain JSON and words of the command line: frozen dataclasses, every key and value checked.

A setting is named by its path, such as `vision.updates`, in files, on the command line and in messages alike. The items
of a list may be records that say themselves how they read in JSON and as a word: `as_dict`, `from_dict`, `from_word`.
"""

from __future__ import annotations

import contextlib
import difflib
import itertools
import json
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from reverie.errors import ReverieError

Settings = TypeVar("Settings")


def to_json(settings: Any) -> dict[str, Any]:
    """A settings dataclass as nested plain dictionaries (tuples become lists)."""
    plain: dict[str, Any] = json.loads(
        json.dumps({field.name: _plain(getattr(settings, field.name)) for field in fields(settings)})
    )
    return plain


def _plain(value: Any) -> Any:
    if hasattr(value, "as_dict"):
        return value.as_dict()
    if is_dataclass(value):
        return to_json(value)
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def from_json(kind: type[Settings], data: Any, where: str = "", path: str = "") -> Settings:
    """Rebuild the dataclass `kind` from `data`; the error of a bad key or value begins with `where`, "FILE: " say.

    path: of `data` itself below the whole, "vision." say
    """
    if not isinstance(data, dict):
        raise ReverieError(f"{where}{path.rstrip('.') or 'the whole'} is {data!r:.100}, expected an object of settings")
    hints = get_type_hints(kind)
    for key in data:
        if key not in hints:
            raise ReverieError(where + unknown(f"{path}{key}", [f"{path}{name}" for name in hints]))
    for name in hints:
        if name not in data:
            raise ReverieError(f"{where}{path}{name} is missing; was it edited by hand, or made by another version?")
    values = {name: _value(hint, data[name], where, f"{path}{name}") for name, hint in hints.items()}
    try:
        return kind(**values)
    except ReverieError as error:
        raise ReverieError(f"{where}{error}") from None


def with_changes(settings: Settings, words: Sequence[str]) -> Settings:
    """`settings` with new values for those that `words` name: ["--vision.updates", "50", "--memory.lr_decay=0.99"].

    A list takes several words; true, false and none are what they say.
    """
    data, known = to_json(settings), setting_types(type(settings))
    for name, given in _pairs(words):
        if name not in known:
            raise ReverieError(unknown(name, list(known)))
        *sections, last = name.split(".")
        place = data
        for section in sections:
            place = place[section]
        place[last] = _from_words(known[name], given, name)
    return from_json(type(settings), data)


def setting_types(kind: type, path: str = "") -> dict[str, Any]:
    """Every setting of the dataclass `kind` by its path, and the type of its value.

    A field with the metadata {"derived": True} follows from other settings and is none itself.
    """
    types: dict[str, Any] = {}
    hints = get_type_hints(kind)
    for field in fields(kind):
        hint = hints[field.name]
        if isinstance(hint, type) and is_dataclass(hint):
            types |= setting_types(hint, f"{path}{field.name}.")
        elif not field.metadata.get("derived"):
            types[f"{path}{field.name}"] = hint
    return types


def differences(before: Mapping[str, Any], after: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """`vision.updates: 1500 there, 200 asked for` for every setting that differs, in the order of the settings."""
    for key in [*after, *(key for key in before if key not in after)]:
        name, old, new = f"{path}{key}", before.get(key), after.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from differences(old, new, f"{name}.")
        elif old != new:
            yield f"{name}: {old!r} there, {new!r} asked for"


def unknown(name: str, known: Sequence[str]) -> str:
    """The complaint about a name that is none of those known, with the nearest one."""
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else "'reverie run WORLD --help-settings' lists them"
    return f"unknown setting {name[:100]!r}; {hint}"


def only(words: Sequence[str], name: str) -> list[str]:
    """Those of `words` that give the setting of that name a value."""
    return [word for each, values in _pairs(words) if each == name for word in (f"--{each}", *values)]


def _pairs(words: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Each `--name value ...` or `--name=value` as (name, values)."""
    names = [place for place, word in enumerate(words) if word.startswith("--")]
    for start, stop in itertools.pairwise([*names, len(words)]):
        name, equals, value = words[start].removeprefix("--").partition("=")
        yield name.replace("-", "_"), [value] * bool(equals) + list(words[start + 1 : stop])


def _from_words(hint: Any, words: list[str], name: str) -> Any:
    if get_origin(hint) is tuple:
        words = [] if [word.lower() for word in words] == ["none"] else words
        item = get_args(hint)[0]
        if hasattr(item, "from_word"):
            return [item.from_word(word).as_dict() for word in words]
        return [_from_word(item, word) for word in words]
    if len(words) != 1:
        raise ReverieError(f"{name} has {len(words) or 'no'} values, expected one: {_describe(hint)}")
    return _from_word(hint, words[0])


def _from_word(hint: Any, word: str) -> Any:
    """The word as a value of the type; the word itself where it is none, for `_value` to refuse."""
    for option in _options(hint):
        if option is type(None) and word.lower() == "none":
            return None
        if option is bool and word.lower() in ("true", "false"):
            return word.lower() == "true"
        if option in (int, float):
            with contextlib.suppress(ValueError):
                return option(word)
    return word


def _value(hint: Any, value: Any, where: str, path: str) -> Any:
    if hasattr(hint, "from_dict"):
        try:
            return hint.from_dict(value)
        except ReverieError as error:
            raise ReverieError(f"{where}{error}") from None
    if is_dataclass(hint):
        return from_json(hint, value, where, f"{path}.")  # type: ignore[arg-type]
    if get_origin(hint) is tuple and isinstance(value, list):
        return tuple(_value(get_args(hint)[0], item, where, path) for item in value)
    if not any(_fits(option, value) for option in _options(hint)):
        raise ReverieError(f"{where}{path} is {value!r:.100}, expected {_describe(hint)}")
    if float not in _options(hint) or value is None:
        return value
    try:
        return float(value)
    except OverflowError:
        raise ReverieError(f"{where}{path} is {value!r:.100}, expected {_describe(hint)}") from None


def _options(hint: Any) -> tuple[Any, ...]:
    """The types that a union joins, or the one type that it is."""
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _fits(hint: Any, value: Any) -> bool:
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(hint, type) and isinstance(value, hint)


def _describe(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return " or ".join(repr(option) for option in get_args(hint))
    if get_origin(hint) is tuple:
        return f"a list, each {_describe(get_args(hint)[0])}"
    if hasattr(hint, "from_word"):
        return f"a {hint.__name__.lower()}"
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a name", type(None): "none"}
    return " or ".join(names[option] if option in names else _describe(option) for option in _options(hint))
