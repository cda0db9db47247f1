"""Locks on files, which the system gives back when a process ends, however it ends; and disks that know none."""

from __future__ import annotations

import errno
import functools
import logging
import os

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

UNKNOWN = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL}  # Lustre without flock, NFS without its daemon

logger = logging.getLogger("reverie.files")


def lock(file: int, wait: bool = True) -> None:
    """Take the one lock of an open file; raises BlockingIOError where another process has it and we do not `wait`.

    On a disk without locks it goes on without one, and says so once: then two commands must not work on one run.
    """
    if fcntl is None:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        if error.errno not in UNKNOWN:
            raise
        tell_once(str(error.strerror))


@functools.cache
def tell_once(reason: str) -> None:
    """Say that the disk knows no locks, the first time that it is found out for this reason."""
    if os.environ.get("REVERIE_WORKER") is None:
        logger.warning(
            "the disk of this run knows no locks (%s): give one command at a time for a run folder, or choose a "
            "--run-dir on another disk (Lustre: mount it with -o flock)",
            reason,
        )
