"""Power cuts for tests: a process that stops at its k-th call to the file system and does nothing after it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

CALLS = ("open", "write", "fsync", "replace", "unlink", "mkdir")


class PowerCut(BaseException):
    """Not an `Exception`, so that nothing recovers from it."""


@contextmanager
def cut_at(call: int) -> Iterator[list[str]]:
    """Let `call` calls of `os` happen, tear the next one and refuse all that follow; yields the names of all made."""
    made: list[str] = []

    def limited(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def act(*args: Any, **kwargs: Any) -> Any:
            made.append(name)
            if len(made) <= call:
                return real(*args, **kwargs)
            if name == "write" and len(made) == call + 1:
                real(args[0], args[1][: len(args[1]) // 2])
            raise PowerCut

        return act

    with pytest.MonkeyPatch.context() as patch:
        for name in CALLS:
            patch.setattr(os, name, limited(name, getattr(os, name)))
        yield made


def cut_everywhere(act: Callable[[], object], check: Callable[[int], None], reset: Callable[[], object]) -> int:
    """Run `act` from `reset`'s state, cut after 0, 1, 2, ... calls until it comes through; `check` after each cut.

    Returns how many cuts there were.
    """
    for call in range(1000):
        reset()
        with cut_at(call) as made:
            try:
                act()
            except PowerCut:
                pass
            else:
                assert len(made) == call
                return call
        check(call)
    raise AssertionError("it never came through")
