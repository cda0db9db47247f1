"""Keeps ViZDoom's processes and files from outliving us, whichever way we end.

A game is a process of its own which does not notice when its parent is killed, and it holds 10 MB of shared memory. So
each process that plays keeps one helper process at the other end of a pipe; when the pipe breaks, the helper kills the
games and removes what they left. It knows them by their settings files, which lie in a folder of ours. Games that end
in order are closed here, at the latest at exit.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

from reverie.worlds.doom.helper import ALL_CLOSED

if TYPE_CHECKING:
    import vizdoom

# ZDoom makes ./_vizdoom unless its settings name a start-up script for each of the games that it knows.
SETTINGS = "".join(f"[{game}.AutoExec]\nPath=none\n" for game in ("Doom", "Heretic", "Hexen", "Strife", "Chex"))

HELPER = Path(__file__).with_name("helper.py")


class _Guard:
    """The helper of one process, its folder of settings files, and the games that are open."""

    def __init__(self) -> None:
        self.process_id = os.getpid()
        self.games: weakref.WeakSet[vizdoom.DoomGame] = weakref.WeakSet()
        self.folder = Path(tempfile.mkdtemp(prefix="reverie-doom-"))
        # a session of its own: Ctrl-C reaches us, and we close the games in order
        command = [sys.executable, "-I", "-S", str(HELPER), str(self.folder)]
        self.helper = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
        )
        atexit.register(self.end)

    def end(self) -> None:
        """Close every game and tell the helper that nothing is left to do."""
        if self.process_id != os.getpid():
            return  # a fork of the process that owns them
        for game in list(self.games):
            game.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        with contextlib.suppress(BrokenPipeError):  # somebody may have killed it
            self.helper.communicate(ALL_CLOSED)


_guard: _Guard | None = None


def start(game: vizdoom.DoomGame) -> None:
    """Start a configured game's process under guard, leaving no file in the current folder."""
    global _guard
    if _guard is None or _guard.process_id != os.getpid():
        _guard = _Guard()
    descriptor, settings = tempfile.mkstemp(suffix=".ini", dir=_guard.folder)
    with os.fdopen(descriptor, "w") as file:
        file.write(SETTINGS)
    game.set_doom_config_path(settings)
    game.init()
    Path(settings).with_suffix(f".{game.get_instance_id()}").touch()  # names its shared memory, even if it dies first
    _guard.games.add(game)


def stop(game: vizdoom.DoomGame) -> None:
    """Close a game; its process is gone afterwards."""
    game.close()
    settings = Path(game.get_doom_config_path())
    for path in settings.parent.glob(f"{settings.stem}.*"):
        path.unlink(missing_ok=True)
    if _guard is not None:
        _guard.games.discard(game)
