"""`main`: finds the command that the words ask for, lets it act, prints its result, and exits."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import reverie
from reverie.cli.commands import COMMANDS, experiment_of
from reverie.cli.parse import nearest, parse, print_help, split_settings
from reverie.errors import ReverieError

HELP = {"-h", "--help"}
SETTINGS_HELP = """Every setting of the stages is an option too, such as --vision.updates 300:
`reverie run WORLD --preset PRESET --help` lists them with their values."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command and exit: 0 done, 2 the user's words or files are wrong, 128 + its number stopped by a signal."""
    try:
        with _signals_as_ctrl_c():
            code = _dispatch(list(sys.argv[1:] if argv is None else argv))
    except ReverieError as error:
        print(f"reverie: {error}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt as stop:
        print("reverie: stopped; the same command goes on from here", file=sys.stderr)
        code = 128 + (stop.number if isinstance(stop, _StoppedBySignal) else signal.SIGINT)
    sys.exit(code)


class _StoppedBySignal(KeyboardInterrupt):
    """A signal that ends a process came."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextlib.contextmanager
def _signals_as_ctrl_c() -> Iterator[None]:
    """Let SIGTERM and SIGHUP stop a command in order, with its workers and its temporary files, as Ctrl-C does."""

    def stop(number: int, frame: object) -> None:
        raise _StoppedBySignal(number)

    before: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) == signal.SIG_DFL:  # nohup has SIGHUP ignored
                before[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        for changed, handler in before.items():
            signal.signal(changed, handler)


def _dispatch(argv: list[str]) -> int:
    name, *rest = argv or ["--help"]
    if name in HELP or name == "--version":
        print(_overview() if name in HELP else f"reverie {reverie.__version__}")
        return 0
    if name not in COMMANDS:
        known = list(COMMANDS)
        raise ReverieError(f"unknown command {name!r}, expected one of {', '.join(known)}{nearest(name, known)}")
    command, (words, settings) = COMMANDS[name], split_settings(rest)
    from reverie.cli import words as w

    kind, prog = getattr(w, command.words), f"reverie {name}"
    if HELP & set(words):
        print_help(kind, prog, command.summary)
        if command.takes_settings:
            print(_settings_help(kind, [word for word in words if word not in HELP], settings))
        return 0
    if settings and not command.takes_settings:
        raise ReverieError(
            f"{settings[0]} is a setting of a run, which 'reverie run' or a stage makes; see {prog} --help"
        )
    parsed = parse(kind, words, prog)
    with _stdout_for_results():
        result = command.act(parsed, settings)
    print(result.text)
    return result.code


def _overview() -> str:
    lines = [f"  {name:<12}{command.summary}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "usage: reverie COMMAND ...",
            "",
            "World models: learn a world from pixels, train the agent inside the dream, come back to reality.",
            "",
            *lines,
            "",
            "`reverie COMMAND --help` says more of each; `reverie --version` says which this is.",
        ]
    )


def _settings_help(kind: type, words: list[str], settings: list[str]) -> str:
    """All settings of the run that the words would make, where they say enough of it."""
    from reverie.recipe.listing import settings_listing

    try:
        parsed = parse(kind, words, "reverie run")
    except ReverieError:  # no WORLD yet
        return SETTINGS_HELP
    if getattr(parsed, "world", None) is None:
        return SETTINGS_HELP
    return settings_listing(experiment_of(parsed, settings))


@contextlib.contextmanager
def _stdout_for_results() -> Iterator[None]:
    """Send to stderr whatever libraries, and what they start, print to stdout: scripts read that."""
    shown = sys.stdout
    shown.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
