"""Tables of the reference that are made from the code when the site is built: a hook of MkDocs.

A page says `<!-- generated: settings -->` where such a table belongs; `python docs/generated.py settings` prints it.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields, is_dataclass
from operator import attrgetter
from typing import Any, Literal, get_args, get_origin, get_type_hints

from reverie.cli import main
from reverie.cli.commands import COMMANDS
from reverie.recipe.experiment import PRESETS, Experiment
from reverie.recipe.listing import COMMAND_WORDS, field_notes
from reverie.recipe.presets import make_experiment
from reverie.settings import setting_types

MARK = re.compile(r"<!-- generated: ([\w-]+)((?: \S+)*) -->")
NAMES = {int: "int", float: "float", bool: "true, false", str: "name", type(None): "none"}
HELP_WIDTH = "96"


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """MkDocs calls this with each page before it is rendered; no line breaks within a score.

    Of what a search finds the lab notebook comes last.
    """
    if page.file.src_uri.startswith("notebook/"):
        page.meta["search"] = {"boost": 0.1}
    return expand(markdown).replace(" ± ", "\u00a0±\u00a0")


def expand(markdown: str) -> str:
    """The page with its tables in the place of their marks."""
    return MARK.sub(lambda mark: MAKERS[mark[1]](*mark[2].split()), markdown)


def settings() -> str:
    """A table for each section of the settings, and one for those of no section."""
    notes, hints = field_notes(Experiment), get_type_hints(Experiment)
    sections = {name: hints[name] for name in notes if is_dataclass(hints[name])}
    plain = [name for name in notes if name not in sections and name not in COMMAND_WORDS]
    blocks = [_section(name, kind, notes[name]) for name, kind in sections.items()]
    rows = [_setting(Experiment, name, name.replace("_", "-"), notes[name]) for name in plain]
    return "\n\n".join([*blocks, "## Of no section", _table(["setting", "values", "default", "meaning"], rows)])


def preset(world: str, *presets: str) -> str:
    """What these presets of a world (all of them, where none is named) set to something else than its default."""
    shown = presets or PRESETS
    made = [dict(_values(make_experiment(world, name))) for name in shown]
    names = [name for name in dict.fromkeys(name for values in made for name in values) if _chosen(name, made)]
    rows = [[f"`{name}`", *(_shown(values.get(name)) for values in made)] for name in names]
    return _table(["setting", *(f"`{name}`" for name in shown)], rows)


def commands() -> str:
    """The help of every command, as `reverie COMMAND --help` prints it."""
    return "\n\n".join(f"## reverie {name}\n\n```text\n{_help(name)}\n```" for name in COMMANDS)


MAKERS: dict[str, Callable[..., str]] = {"settings": settings, "preset": preset, "commands": commands}


def _section(name: str, kind: type, note: str) -> str:
    about = _escaped(" ".join((kind.__doc__ or note).split()))
    known = setting_types(Experiment)
    texts = {field: text for field, text in field_notes(kind).items() if f"{name}.{field}" in known}
    rows = [_setting(kind, field, f"{name}.{field}", text) for field, text in texts.items()]
    return f"## {name}\n\n{about}\n\n" + _table(["setting", "values", "default", "meaning"], rows)


def _setting(kind: type, field: str, name: str, note: str) -> list[str]:
    [found] = [one for one in fields(kind) if one.name == field]
    if found.default is not MISSING:
        default = _shown(found.default)
    else:
        default = _shown(found.default_factory()) if found.default_factory is not MISSING else "the preset's"
    return [f"`{name}`", _kind(get_type_hints(kind)[field]), default, _escaped(note)]


def _values(experiment: Experiment) -> Iterator[tuple[str, Any]]:
    for name in setting_types(Experiment):
        if name not in COMMAND_WORDS:
            yield name, attrgetter(name)(experiment)


def _chosen(name: str, made: list[dict[str, Any]]) -> bool:
    """Whether any preset sets this setting to something else than its default."""
    kind: Any = Experiment
    *sections, last = name.split(".")
    for section in sections:
        kind = get_type_hints(kind)[section]
    [field] = [one for one in fields(kind) if one.name == last]
    default = field.default_factory() if field.default_factory is not MISSING else field.default
    return any(values.get(name) != default for values in made)


def _kind(hint: Any) -> str:
    """The values that a setting takes, in words."""
    if get_origin(hint) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(hint))
    if get_origin(hint) is tuple:
        return f"list of {_kind(get_args(hint)[0])}"
    if get_args(hint):
        return ", ".join(_kind(option) for option in get_args(hint))
    return NAMES.get(hint, getattr(hint, "__name__", str(hint)))


def _shown(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return " ".join(map(_shown, value)) or "none"
    if hasattr(value, "word"):  # a phase, as the command line has it
        return _escaped(str(value.word())).replace(",", ",<wbr>").replace(":", ":<wbr>")
    return f"{value:,}" if isinstance(value, int) else _escaped(str(value))


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _escaped(text: str) -> str:
    """The text for a cell: what Markdown would read as markup is escaped outside of backticks."""
    parts = text.split("`")
    parts[::2] = [re.sub(r"([|*<>\[\]_])", r"\\\1", part) for part in parts[::2]]
    return "`".join(parts)


def _help(name: str) -> str:
    before, said = os.environ.get("COLUMNS"), io.StringIO()
    os.environ["COLUMNS"] = HELP_WIDTH
    try:
        with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
            main([name, "--help"])
    finally:
        os.environ.pop("COLUMNS") if before is None else os.environ.update(COLUMNS=before)
    return "\n".join(line.rstrip() for line in said.getvalue().strip().splitlines())


if __name__ == "__main__":
    print(MAKERS[sys.argv[1]](*sys.argv[2:]))
