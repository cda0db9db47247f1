"""Progress of a long step on stderr: a bar on a terminal, a plain line every ten seconds elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

LINE_SECONDS = 10.0
DRAW_SECONDS = 0.25
_silences: list[None] = []
_open_screens: list[RichProgress] = []
_FORMS = ("{task.description}", "{task.fields[text]}")
RATE_SECONDS = 30.0  # the rate is the mean over this long a past


class Bar:
    """How far a step is; `advance` is all that a loop calls.

    done: units finished, those of an earlier session included (they do not count for the rate)
    """

    def __init__(self, total: int, title: str, unit: str, done: int, show: Callable[[Bar], None]) -> None:
        self.total, self.title, self.unit, self.done = total, title, unit, done
        self.metrics: dict[str, float] = {}
        self._show = show
        self._start = (time.monotonic(), done)
        self._marks = deque([self._start])

    def advance(self, count: int = 1, **metrics: float) -> None:
        """Count `count` more units as finished and show `metrics` beside them."""
        self.done += count
        self.metrics |= metrics
        now = time.monotonic()
        self._marks.append((now, self.done))
        while len(self._marks) > 2 and now - self._marks[1][0] > RATE_SECONDS:
            self._marks.popleft()
        self._show(self)

    @property
    def rate(self) -> float:
        """Units a second of late; 0 before the first."""
        then, done = self._marks[0]
        seconds = time.monotonic() - then
        return (self.done - done) / seconds if seconds > 0 else 0.0

    @property
    def elapsed(self) -> float:
        """Seconds since this session began."""
        return time.monotonic() - self._start[0]

    def counts(self) -> str:
        """`1,200/5,000 frames`."""
        return f"{self.done:,}/{self.total:,} {self.unit}"

    def pace(self) -> str:
        """`512 frames/s, 2:10 left` while it runs."""
        left = (
            f", {_clock((self.total - self.done) / self.rate)} left" if self.rate > 0 and self.done < self.total else ""
        )
        return f"{_number(self.rate)} {self.unit}/s{left}"

    def values(self) -> str:
        """`loss 0.12, kl 16`."""
        return ", ".join(f"{name} {_number(value)}" for name, value in self.metrics.items())


def announce(line: str) -> None:
    """One line of what comes next; silenced as the bars are."""
    if not is_quiet():
        _print(line)


@contextmanager
def progress(total: int, title: str, unit: str, done: int = 0) -> Iterator[Bar]:
    """A `Bar` for `total` units, `done` of them finished before; `REVERIE_QUIET=1` silences it."""
    if is_quiet():
        yield Bar(total, title, unit, done, lambda bar: None)
    elif sys.stderr.isatty():
        with _drawn(total, title, unit, done) as bar:
            yield bar
    else:
        with _printed(total, title, unit, done) as bar:
            yield bar


@contextmanager
def silence() -> Iterator[None]:
    """No progress and no announcement within a `with` block."""
    _silences.append(None)
    try:
        yield
    finally:
        _silences.pop()


def is_quiet() -> bool:
    """Whether nothing is shown."""
    return bool(_silences) or os.environ.get("REVERIE_QUIET") == "1"


@contextmanager
def _printed(total: int, title: str, unit: str, done: int) -> Iterator[Bar]:
    def show(bar: Bar) -> None:
        _print(f"{title}: {bar.counts()}", bar.pace(), bar.values())

    bar = Bar(total, title, unit, done, _at_most_every(LINE_SECONDS, show))
    try:
        yield bar
    finally:
        verb = "done" if bar.done >= total else "stopped"
        _print(f"{title}: {verb}, {bar.counts()} in {_clock(bar.elapsed)}", bar.values())


@contextmanager
def _drawn(total: int, title: str, unit: str, done: int) -> Iterator[Bar]:
    with _screen() as screen:
        task = screen.add_task(title, total=total, completed=done, text=f"{done:,}/{total:,} {unit}")

        def draw(bar: Bar) -> None:
            screen.update(task, completed=bar.done, text=_joined(bar.counts(), bar.pace(), bar.values()))

        bar = Bar(total, title, unit, done, _at_most_every(DRAW_SECONDS, draw))
        try:
            yield bar
        finally:
            draw(bar)
            if len(screen.task_ids) > 1:  # a bar within a bar goes when it is done
                screen.remove_task(task)


@contextmanager
def _screen() -> Iterator[RichProgress]:
    """What bars are drawn on: a new one for the first, the same for those opened while it is there."""
    if _open_screens:
        yield _open_screens[-1]
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.table import Column

    title, text = (TextColumn(form, markup=False, table_column=Column(no_wrap=True)) for form in _FORMS)
    console = Console(stderr=True)
    columns = (title, BarColumn(bar_width=20), text)
    # What is printed to stdout is a result, not part of the drawing.
    with Progress(*columns, console=console, refresh_per_second=1 / DRAW_SECONDS, redirect_stdout=False) as screen:
        _open_screens.append(screen)
        try:
            yield screen
        finally:
            _open_screens.pop()


def _at_most_every(seconds: float, show: Callable[[Bar], None]) -> Callable[[Bar], None]:
    last = time.monotonic()

    def throttled(bar: Bar) -> None:
        nonlocal last
        if time.monotonic() - last >= seconds:
            last = time.monotonic()
            show(bar)

    return throttled


def _joined(*parts: str) -> str:
    return " | ".join(filter(None, parts))


def _print(*parts: str) -> None:
    print(_joined(*parts), file=sys.stderr, flush=True)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
