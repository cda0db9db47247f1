"""The agents that come with Reverie, and the one way from what a user names to a trained agent."""

from __future__ import annotations

import difflib
from pathlib import Path

import reverie
from reverie.agents.card import CARD, RESTORE, open_export
from reverie.agents.trained import Trained
from reverie.errors import ReverieError
from reverie.runs.opening import trained_in
from reverie.runs.run_folder import CONFIG, open_run
from reverie.worlds.registry import world_names

SHIPPED = Path(reverie.__file__).parent / "pretrained"
REINSTALL = "install reverie again (pip install --force-reinstall --no-deps reverie)"


def shipped() -> list[str]:
    """The names of the agents that come with this installation."""
    return sorted(card.parent.name for card in SHIPPED.glob(f"*/{CARD}"))


def open_trained(place: str | Path) -> Trained:
    """The agent of a run folder or an export at `place`, else the one that ships under this name.

    Raises: ReverieError where there is neither; DamagedFileError where a file is not as it was written.
    """
    folder = export_at(place)
    if folder is not None:
        return open_export(folder, remedy_for(folder))
    path = Path(place)
    if path.exists() or len(path.parts) != 1:
        return trained_in(open_run(path))
    raise ReverieError(f"no run folder {path} here, and {_unknown(str(path))}")


def open_shipped(name: str) -> Trained:
    """The agent that comes with Reverie under this name; raises as `open_trained` does."""
    if name not in shipped():
        raise ReverieError(_unknown(name))
    return open_export(SHIPPED / name, REINSTALL)


def export_at(place: str | Path) -> Path | None:
    """The folder of the export at `place`, or of the shipped agent of that name; None for anything else.

    A run folder or an export at `place` wins over a name, any other folder does not.
    """
    path = Path(place)
    if (path / CARD).is_file():
        return path
    return SHIPPED / path if str(path) in shipped() and not (path / CONFIG).is_file() else None


def remedy_for(folder: Path) -> str:
    """What to do about a damaged file of an export in `folder`."""
    return REINSTALL if folder.parent == SHIPPED else RESTORE


def _unknown(name: str) -> str:
    names = shipped()
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    world = name if name in world_names() else "WORLD"
    return (
        f"no agent {name!r} comes with reverie {reverie.__version__} "
        f"({', '.join(names) if names else 'none does yet'}); {hint}'reverie run {world}' makes one, "
        f"named by its run folder, runs/{world}-quick"
    )
