"""What an experiment tracker is, and how `--track` names one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from reverie.errors import ReverieError
from reverie.files.modules import import_here

TENSORBOARD = "tensorboard"


class Tracker(Protocol):
    """Takes a run's metrics. Made, called and closed in one thread, which may be slow or fail: the run goes on."""

    def log(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        """One row of `stage`, "vision" or "round-1/memory" say: numbers by name at update or generation `step`."""

    def close(self) -> None:
        """The run has ended, or stops."""


MakeTracker = Callable[[Path, Mapping[str, Any]], Tracker]  # of the run folder and its settings as plain JSON


def find_tracker(name: str) -> MakeTracker:
    """What makes the tracker "tensorboard", or MODULE:NAME where `from MODULE import NAME` gets one's class.

    Raises: ReverieError where it cannot be imported.
    """
    module, separator, attribute = name.partition(":")
    if name == TENSORBOARD:
        module, attribute = "reverie.tracking.tensorboard", "TensorBoard"
    elif not (module and separator and attribute):
        raise ReverieError(f"--track is {name!r}; expected tensorboard, or MODULE:CLASS for a tracker of your own")
    try:
        make: MakeTracker = getattr(import_here(module), attribute)
    except (ImportError, AttributeError) as error:
        remedy = "pip install 'reverie[track]'" if name == TENSORBOARD else "see docs/how-to/trackers.md"
        raise ReverieError(f"tracker {name!r} cannot be imported ({error}); {remedy}") from None
    return make
