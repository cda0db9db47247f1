"""From words to dataclasses: tyro's parsing and help, with every complaint in one line."""

from __future__ import annotations

import contextlib
import difflib
import io
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any

from reverie.errors import ReverieError

PLAIN_SETTINGS = (
    "--evaluation-episodes",
    "--evaluation_episodes",
    "--mirror",
    "--phases",
)  # of no section, so without a dot
NARROWEST = 40  # columns
FAULTS = (
    (re.compile(r"Error parsing (\S+): .*?'(.*?)'"), r"\1 cannot be '\2'"),
    (re.compile(r"Missing from .*?: (\S+)"), r"\1 is missing"),
    (re.compile(r"Missing value for argument '(\S+?)'"), r"\1 has no value"),
)


def split_settings(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Part `--vision.updates 200` (a setting of an experiment, its name has a dot) from the command's own words."""
    words: list[str] = []
    settings: list[str] = []
    target = words
    for word in argv:
        if word.startswith("-") and not _is_number(word):
            name = word.split("=", 1)[0]
            target = settings if "." in name or name in PLAIN_SETTINGS else words
        target.append(word)
    return words, settings


def split_world_settings(settings: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Part `--world.observation rgb`, which becomes part of the world's name, from the settings of a run."""
    found: dict[str, str] = {}
    rest: list[str] = []
    words = iter(settings)
    for word in words:
        name, mark, value = word.partition("=")
        if not name.startswith("--world."):
            rest.append(word)
            continue
        given = value if mark else next(words, None)
        if given is None or (not mark and given.startswith("--")):
            raise ReverieError(f"{name} has no value")
        found[name.removeprefix("--world.")] = given
    return found, rest


def parse(kind: type, words: Sequence[str], prog: str) -> Any:
    """An instance of the dataclass `kind` from the words of the command `prog`."""
    import tyro

    said = io.StringIO()
    parsed: Any
    try:
        with contextlib.redirect_stderr(said), _wide_enough():
            parsed, rest = tyro.cli(kind, args=list(words), prog=prog, return_unknown_args=True)
    except SystemExit:
        raise ReverieError(f"{_fault(said.getvalue())}; see {prog} --help") from None
    if rest:
        raise ReverieError(f"{_surplus(rest[0], kind)}; see {prog} --help")
    return parsed


def print_help(kind: type, prog: str, summary: str) -> None:
    """The command's help, on stdout."""
    import tyro

    with contextlib.suppress(SystemExit), _wide_enough():
        tyro.cli(kind, args=["--help"], prog=prog, description=summary)


@contextlib.contextmanager
def _wide_enough() -> Iterator[None]:
    """A terminal of at least `NARROWEST` columns: in fewer tyro wraps a word for ever."""
    before, narrow = os.environ.get("COLUMNS"), shutil.get_terminal_size().columns < NARROWEST
    if narrow:
        os.environ["COLUMNS"] = str(NARROWEST)
    try:
        yield
    finally:
        if narrow:
            os.environ.pop("COLUMNS")
            os.environ |= {} if before is None else {"COLUMNS": before}


def nearest(word: str, known: Sequence[str]) -> str:
    """`; did you mean 'run'?`, or nothing where no known word is near."""
    near = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _surplus(word: str, kind: type) -> str:
    """The complaint about a word that the command does not take."""
    if not word.startswith("-"):
        return f"{word!r} is one word too many"
    options = [f"--{field.name.rstrip('_').replace('_', '-')}" for field in fields(kind)]
    return f"unknown option {word!r}{nearest(word, options)}"


def _fault(boxed: str) -> str:
    """What tyro's message, in a box of whatever characters the terminal has, says in one line of ours."""
    lines = [line.strip("│| ") for line in boxed.splitlines() if not line.startswith(("╭", "╰", "+"))]
    said = " ".join(line for line in lines if set(line) - {"─", "-"})
    for pattern, form in FAULTS:
        found = pattern.search(said)
        if found:
            return found.expand(form)
    return said


def _is_number(word: str) -> bool:
    return re.fullmatch(r"-[\d.].*", word) is not None
