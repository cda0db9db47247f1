"""The helper of guard.py, run as a script: `helper.py FOLDER`.

FOLDER holds a game's settings as `NAME.ini` and its ViZDoom instance as `NAME.INSTANCE`. When stdin ends without a
farewell, it kills the games whose settings lie there, and removes their shared memory and the folder. It needs only the
standard library, so it starts fast, and finds games by /proc: elsewhere they are not killed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")
ALL_CLOSED = b"closed"  # what a process that ends in order says before stdin ends


def main(folder: str) -> None:
    """Wait for the end of stdin, then clean up; twice, for a game that was just starting."""
    if sys.stdin.buffer.read() == ALL_CLOSED:
        return
    noted = {path.suffix[1:] for path in Path(folder).iterdir() if path.suffix != ".ini"}
    for pause in (0.2, 0.0):
        running = games(folder)
        for process_id, _ in running:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(process_id, signal.SIGKILL)
        for instance in noted | {instance for _, instance in running}:
            for path in SHARED_MEMORY.glob(f"ViZDoom*{instance}"):
                path.unlink(missing_ok=True)
        time.sleep(pause)
    shutil.rmtree(folder, ignore_errors=True)


def games(folder: str) -> list[tuple[int, str]]:
    """(process id, ViZDoom's instance id) of every running game whose settings lie in `folder`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = path.read_bytes().decode(errors="replace").split("\0")
            if "+viz_instance_id" in words and any(word.startswith(folder + os.sep) for word in words):
                found.append((int(path.parent.name), words[words.index("+viz_instance_id") + 1]))
    return found


if __name__ == "__main__":
    main(sys.argv[1])
