"""What `reverie lab` does: make the page of one or two runs, and serve it to this machine or leave it in a folder."""

from __future__ import annotations

import webbrowser
from collections.abc import Sequence
from pathlib import Path

from reverie.errors import ReverieError
from reverie.files.scratch import scratch_folder
from reverie.lab.bundle import check_folder, write_lab
from reverie.lab.loading import load_lab_run
from reverie.lab.server import serving
from reverie.lab.source import LabRun
from reverie.progress import announce


def export_lab(runs: Sequence[Path], folder: Path) -> Path:
    """Write the page of these runs into `folder`, for any web server; returns the folder."""
    check_folder(folder)  # before the minutes that the rest may take
    write_lab(folder, _sources(runs))
    return folder


def open_lab(runs: Sequence[Path], port: int, browser: bool) -> None:
    """Serve the page of these runs to this machine, and open it in a browser, until Ctrl-C."""
    with scratch_folder("lab") as folder:
        write_lab(folder, _sources(runs))
        with serving(folder, port) as server:
            announce(f"lab: {server.address} (Ctrl-C closes it)")
            if browser:
                webbrowser.open(server.address)
            _wait()


def _wait() -> None:
    from threading import Event

    try:
        Event().wait()
    except KeyboardInterrupt:
        announce("")


def _sources(runs: Sequence[Path]) -> list[LabRun]:
    announce("lab: opening V, M and C")
    sources = [load_lab_run(run) for run in runs]
    check_same_world(sources)
    return sources


def check_same_world(sources: Sequence[LabRun]) -> None:
    """Refuse runs that cannot dream side by side."""
    first = sources[0].spec
    for source in sources[1:]:
        if source.spec.actions != first.actions or source.spec.name != first.name:
            raise ReverieError(
                f"{source.name} is a run of {source.spec.name!r} and {sources[0].name} one of {first.name!r}; "
                "give two runs of one world"
            )
