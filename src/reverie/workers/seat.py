"""A worker of a cluster, on whichever node it sits: it fetches what its tasks share, once, and runs one after another.

Ray starts it as an actor with one core. The tasks' functions are imported, so every node needs the same reverie.
"""

from __future__ import annotations

import os
import pickle
import platform
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray

import reverie
from reverie.hardware import single_thread
from reverie.workers.parcel import lay_out, unpack
from reverie.workers.process import failure
from reverie.workers.worker import ONE_THREAD

KEPT_OBJECTS = 4


class Seat:
    """The actor. `session` names the folder of files that all seats of one node share."""

    def __init__(self, session: str) -> None:
        os.environ.update(ONE_THREAD)
        self._folder = Path(tempfile.gettempdir()) / f"reverie-{os.getuid()}-{session}"
        self._objects: dict[str, Any] = {}

    def about(self) -> tuple[str, str]:
        """Which reverie this node has, and its name."""
        return reverie.__version__, platform.node()

    def run(self, parcel: bytes, items: Mapping[str, Any]) -> bytes:
        """Run the function and task in `parcel`; a pickle of (True, result) or (False, exception).

        items: references into the object store by the names that the parcel knows them by
        """
        try:
            with single_thread():
                function, task = unpack(parcel, lambda name: self._find(name, items))
                return pickle.dumps((True, function(task)), protocol=pickle.HIGHEST_PROTOCOL)
        except Exception as error:
            return failure(error)

    def tidy(self) -> None:
        """Remove this node's copies of files."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _find(self, name: str, items: Mapping[str, Any]) -> Any:
        kind, *words = name.split(" ")
        if kind == "object":
            return self._object(name, items)
        key, file = words[-1], " ".join(words[:-1])
        self._folder.mkdir(mode=0o700, exist_ok=True)
        if self._folder.stat().st_uid != os.getuid():
            raise PermissionError(f"{self._folder} belongs to somebody else")
        place = self._folder / key / file
        if not place.exists():
            place.parent.mkdir(exist_ok=True)
            lay_out(ray.get(items[name]), place.parent, file)
        return place

    def _object(self, name: str, items: Mapping[str, Any]) -> Any:
        if name not in self._objects:
            self._objects[name] = pickle.loads(ray.get(items[name]))
            while len(self._objects) > KEPT_OBJECTS:
                del self._objects[next(iter(self._objects))]
        return self._objects[name]
