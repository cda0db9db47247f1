"""Runs killed one after the other without a start of Python for each: `python -m tests.runs.nursery FOLDER`.

For each line of JSON, [["MODULE:NAME", CALL] or null, [words...]], it runs the command in a fork of its own, killed in
place of that call (`dying`), and answers with [exit code, what it printed].
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Protocol

from tests.chaos.launching import import_libraries, launch
from tests.runs.dying import kill_at
from tests.small_runs import ENVIRONMENT, ROOT


class Launch(Protocol):
    """Run a command to its end: its exit code, minus the signal where one killed it, and what it printed."""

    def __call__(self, *words: str, kill: tuple[str, int] | None = None) -> tuple[int, str]: ...


@contextmanager
def nursery(folder: Path) -> Iterator[Launch]:
    """Commands from one helper process, whose temporary files and logs are in `folder`."""
    program = [sys.executable, "-m", "tests.runs.nursery", str(folder)]
    with subprocess.Popen(
        program, cwd=ROOT, env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as helper:
        assert helper.stdin is not None
        assert helper.stdout is not None
        asked, answers = helper.stdin, helper.stdout

        def run(*words: str, kill: tuple[str, int] | None = None) -> tuple[int, str]:
            print(json.dumps([kill, words]), file=asked, flush=True)
            code, printed = json.loads(answers.readline())
            return code, printed

        yield run


def _main(folder: Path) -> None:
    import_libraries()
    for number, line in enumerate(sys.stdin):
        kill, words = json.loads(line)
        prepare = partial(kill_at, *kill) if kill else lambda: None
        command = launch(words, folder / str(number), prepare)
        print(json.dumps([command.wait(280), command.log.read_text()]), flush=True)


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
