"""The command line in a process that kills itself: `python -m tests.runs.dying MODULE:NAME CALL words...`.

SIGKILL comes in place of the CALL-th call of NAME, so that a test interrupts the same moment on any machine.
"""

from __future__ import annotations

import importlib
import itertools
import os
import signal
import sys
from typing import Any


def kill_at(target: str, call: int) -> None:
    """Let this process be killed in place of the `call`-th call of `target`, "module:name" or "module:Class.name"."""
    module, _, path = target.partition(":")
    owner: Any = importlib.import_module(module)
    *holders, name = path.split(".")
    for holder in holders:
        owner = getattr(owner, holder)
    act, calls = getattr(owner, name), itertools.count(1)

    def act_or_die(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return act(*args, **kwargs)

    setattr(owner, name, act_or_die)


if __name__ == "__main__":
    from reverie.cli import main

    kill_at(sys.argv[1], int(sys.argv[2]))
    main(sys.argv[3:])
