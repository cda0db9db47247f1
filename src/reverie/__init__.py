"""Reverie: learn a world from pixels, train inside the dream, come back to reality.

agent = reverie.load("runs/doom-quick")
score = reverie.evaluate(agent, reverie.make("doom", num_envs=8), episodes=100)
"""

from __future__ import annotations

import reverie.dream  # noqa: F401 (now: imported later, the room would take the place of the function of its name)
from reverie.errors import ReverieError
from reverie.interface import dream, evaluate, load, make

__version__ = "0.1.0"
__all__ = ["ReverieError", "__version__", "dream", "evaluate", "load", "make"]
