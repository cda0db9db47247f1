"""`main`: finds the command that the words ask for, lets it act, prints its result, and exits."""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import reverie
from reverie.cli.commands import COMMANDS
from reverie.cli.parse import nearest, parse, print_help, split_settings, split_world_settings
from reverie.cli.planning import experiment_of
from reverie.errors import ReverieError

HELP, HELP_SETTINGS = {"-h", "--help"}, "--help-settings"
SETTINGS_HELP = """Every setting of the stages is an option too, such as --vision.updates 300:
{sections}
`reverie run WORLD --preset PRESET --help-settings` lists them all, with their values there."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command and exit: 0 done, 2 the user's words or files are wrong, 128 + its number stopped by a signal."""
    _speak_plainly()
    try:
        with _signals_as_ctrl_c():
            code = _dispatch(list(sys.argv[1:] if argv is None else argv))
    except ReverieError as error:
        print(f"reverie: {error}", file=sys.stderr)
        code = 2
    except BrokenPipeError:  # whoever read what is printed has gone; Python would complain about that once more
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        code = 128 + 13
    except Exception as error:
        if type(error).__name__ != "OutOfMemoryError":  # torch's, which is not imported here
            raise
        said = str(error).split(". ")[0]
        print(f"reverie: {said}; lower the batch size (vision.batch_size, memory.batch_size)", file=sys.stderr)
        code = 2
    except KeyboardInterrupt as stop:
        print("reverie: stopped; the same command goes on from here", file=sys.stderr)
        code = 128 + (stop.number if isinstance(stop, _StoppedBySignal) else signal.SIGINT)
    sys.exit(code)


PLAIN = {"±": "+-", "·": "*", "×": "x", "—": "-", "–": "-", "…": "...", "→": "->", "τ": "tau", "█": "#", "━": "-"}


def _speak_plainly() -> None:
    """Let a terminal or log of fewer characters show others in their place, in the end of a run most of all."""

    def plain(error: UnicodeError) -> tuple[str, int]:
        assert isinstance(error, UnicodeEncodeError)
        lost = error.object[error.start : error.end]
        return "".join(PLAIN.get(character, "?") for character in lost), error.end

    codecs.register_error("reverie", plain)
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:  # closed by whoever started us
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)
            setattr(sys, name, os.fdopen(number, "w"))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="reverie")


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
        for number in (signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])):
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
            from reverie.recipe.listing import sections_listing

            print(SETTINGS_HELP.format(sections=sections_listing()))
        return 0
    if HELP_SETTINGS in words and command.takes_settings:
        print(_all_settings(kind, [word for word in words if word != HELP_SETTINGS], settings, prog))
        return 0
    of_world, settings = split_world_settings(settings)
    if settings and not command.takes_settings:
        raise ReverieError(
            f"{settings[0]} is a setting of a run, which 'reverie run' or a stage makes; see {prog} --help"
        )
    parsed = _of_world(parse(kind, words, prog), of_world)
    with _stdout_for_results():
        result = command.act(parsed, settings)
    try:
        print(result.text, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:  # Python would complain about it once more at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise ReverieError(f"cannot print the result: {error.strerror}; make room where it goes to") from None
    return result.code


def _of_world(parsed: Any, of_world: dict[str, str]) -> Any:
    """The command's words with what is said of the world as part of its name, which goes wherever the name goes."""
    if not of_world:
        return parsed
    from reverie.worlds.generic.options import join_name

    for field in ("world", "check"):
        name = getattr(parsed, field, None)
        if name is not None:
            return replace(parsed, **{field: join_name(name, of_world)})
    raise ReverieError(f"--world.{next(iter(of_world))} is said of a world by its name, which a new run needs")


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


def _all_settings(kind: type, words: list[str], settings: list[str], prog: str) -> str:
    """All settings of the run that the words would make."""
    from reverie.recipe.listing import settings_listing

    parsed = parse(kind, words, prog)
    if getattr(parsed, "world", None) is None:
        raise ReverieError("the settings of which world? 'reverie run WORLD --help-settings' lists them")
    of_world, settings = split_world_settings(settings)
    return settings_listing(experiment_of(_of_world(parsed, of_world), settings))


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
