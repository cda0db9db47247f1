"""An experiment's settings as words of the command line: a list of them all, or the command that gives those."""

from __future__ import annotations

import ast
import inspect
import itertools
import shlex
import shutil
import textwrap
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints

from reverie.recipe.experiment import Experiment
from reverie.recipe.presets import make_experiment

COMMAND_WORDS = (  # that the command itself asks for
    "world",
    "preset",
    "seed",
    "start_from",
    "start_digest",
    "data",
    "data_digest",
)
INDENT = " " * 6


def sections_listing() -> str:
    """A line for each section of the settings, and for each setting that is in none."""
    width = shutil.get_terminal_size().columns
    hints = get_type_hints(Experiment)
    lines = []
    for name, note in field_notes(Experiment).items():
        if name not in COMMAND_WORDS:
            option = f"--{name}.*" if is_dataclass(hints[name]) else f"--{name}"
            about = textwrap.shorten(note.partition(". ")[0], max(20, width - 26), placeholder=" ...")
            lines.append(f"  {option:<22}  {about}")
    return "\n".join(lines)


def settings_listing(experiment: Experiment) -> str:
    """Lines of `--vision.updates 1800` and its meaning, section by section."""
    width = shutil.get_terminal_size().columns
    title = f"settings of {experiment.world} at preset {experiment.preset}; give any of them, as --vision.updates 300"
    blocks = [textwrap.fill(title, width)]
    for name, value, note in _entries(experiment):
        meaning = textwrap.fill(note, width, initial_indent=INDENT, subsequent_indent=INDENT)
        blocks.append(f"  --{name} {_word(value)}\n{meaning}")
    return "\n".join(blocks)


def command_of(experiment: Experiment) -> str:
    """The `reverie run` that makes the experiment: its preset, and each setting that is not the preset's."""
    words = ["reverie", "run", experiment.world, "--preset", experiment.preset, "--seed", str(experiment.seed)]
    if experiment.start_from is not None:
        words += ["--from", experiment.start_from]
    if experiment.data is not None:
        words += ["--data", experiment.data]
    preset = make_experiment(experiment.world, experiment.preset, seed=experiment.seed, phases=experiment.phases)
    if preset.phases != make_experiment(experiment.world, experiment.preset, seed=experiment.seed).phases:
        words += ["--phases", *_word(experiment.phases).split()]
    usual = {name: value for name, value, _ in _entries(preset)}
    for name, value, _ in _entries(experiment):
        if value != usual[name]:
            words += [f"--{name}", *_word(value).split()]
    return shlex.join(words)


def field_notes(kind: type) -> dict[str, str]:
    """The docstring below each field of a dataclass, as one line."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(definition, ast.ClassDef), kind
    notes: dict[str, str] = {}
    for field, note in itertools.pairwise(definition.body):
        if isinstance(field, ast.AnnAssign) and isinstance(note, ast.Expr) and isinstance(note.value, ast.Constant):
            notes[ast.unparse(field.target)] = " ".join(str(note.value.value).split())
    return notes


def _entries(settings: Any, path: str = "") -> Iterator[tuple[str, Any, str]]:
    """(name, value, meaning) of each setting."""
    derived = {field.name for field in fields(settings) if field.metadata.get("derived")}
    for name, note in field_notes(type(settings)).items():
        value = getattr(settings, name)
        if name in derived:
            continue
        if is_dataclass(value):
            yield from _entries(value, f"{path}{name}.")
        elif path or name not in COMMAND_WORDS:
            yield f"{path}{name}", value, note


def _word(value: Any) -> str:
    if isinstance(value, tuple):
        return " ".join(item.word() if hasattr(item, "word") else str(item) for item in value) or "none"
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)
