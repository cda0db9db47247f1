"""What a command holds of the machine at one moment, it and all that it has started."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

MIB = 2**20
TAIL = 4096  # bytes of the metrics: several rows


@dataclass(frozen=True)
class Sample:
    """One look.

    seconds: since the command began
    generation: the last that metrics.jsonl has, 0 before the first
    resident, largest, private: MiB: of all processes added up, of the largest process, and what no two share
    descriptors, processes, threads: of all processes
    files, folder: number of the run folder's files, and their MiB
    """

    seconds: float
    generation: int
    resident: float
    largest: float
    private: float
    descriptors: int
    processes: int
    threads: int
    files: int
    folder: float


def look(process: psutil.Process, run: Path, started: float) -> Sample | None:
    """Now; None where a process ended while it was looked at."""
    try:
        found = [_of(one) for one in (process, *process.children(recursive=True))]
    except psutil.Error:
        return None
    sizes = [size for file in run.rglob("*") if (size := _size(file)) is not None]
    resident, private, descriptors, threads = (list(column) for column in zip(*found, strict=True))
    return Sample(
        seconds=round(time.monotonic() - started, 2),
        generation=generation_of(run),
        resident=round(sum(resident) / MIB, 2),
        largest=round(max(resident) / MIB, 2),
        private=round(sum(private) / MIB, 2),
        descriptors=sum(descriptors),
        processes=len(found),
        threads=sum(threads),
        files=len(sizes),
        folder=round(sum(sizes) / MIB, 3),
    )


def watch(process: psutil.Process, run: Path, every: float, until: Callable[[Sample], bool], log: Path) -> list[Sample]:
    """A sample every so many seconds, appended to `log`, up to the one that `until` holds of, or the command's end."""
    samples: list[Sample] = []
    started = time.monotonic()
    with log.open("a") as file:
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            due = time.monotonic() + every
            if sample := look(process, run, started):
                samples.append(sample)
                file.write(json.dumps(asdict(sample)) + "\n")
                file.flush()
                if until(sample):
                    break
            time.sleep(max(0.0, due - time.monotonic()))
    return samples


def generation_of(run: Path) -> int:
    """The last generation that the metrics of C's only phase have, 0 before the first."""
    try:
        with (run / "controller" / "1-cmaes-dream" / "metrics.jsonl").open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
            *lines, _torn = file.read().split(b"\n")
    except FileNotFoundError:
        return 0
    return json.loads(lines[-1])["step"] if lines else 0


def _of(process: psutil.Process) -> tuple[int, int, int, int]:
    with process.oneshot():
        memory = process.memory_full_info()
        return memory.rss, memory.uss, process.num_fds(), process.num_threads()


def _size(file: Path) -> int | None:
    try:
        return file.stat().st_size if file.is_file() else None
    except FileNotFoundError:  # a temporary file on its way to its name
        return None
