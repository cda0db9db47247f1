"""A bar on a terminal, lines elsewhere, the same figures in both."""

from __future__ import annotations

import io
import re
import sys
import time
from collections.abc import Iterator

import pytest

from reverie import progress as module
from reverie.progress import progress


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    monkeypatch.delenv("REVERIE_QUIET", raising=False)
    return clock


def test_lines_every_ten_seconds_and_at_the_end(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with progress(40_000, "V: training", unit="frames") as bar:
        for second in range(24):
            clock.now += 1
            bar.advance(1000, loss=0.123456, kl=second)
    assert capsys.readouterr().err.splitlines() == [
        "V: training: 10,000/40,000 frames | 1,000 frames/s, 0:30 left | loss 0.123, kl 9",
        "V: training: 20,000/40,000 frames | 1,000 frames/s, 0:20 left | loss 0.123, kl 19",
        "V: training: stopped, 24,000/40,000 frames in 0:24 | loss 0.123, kl 23",
    ]


def test_what_an_earlier_session_did_does_not_count_for_the_rate(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with progress(9, "C: evolving", unit="generations", done=5) as bar:
        clock.now += 5000
        bar.advance(1)
        clock.now += 1
        bar.advance(3)
    assert capsys.readouterr().err.splitlines() == [
        "C: evolving: 6/9 generations | 0.0002 generations/s, 4:10:00 left",
        "C: evolving: done, 9/9 generations in 1:23:21",
    ]


def test_the_rate_is_that_of_late(clock: Clock) -> None:
    with progress(10**6, "M", unit="windows") as bar:
        assert bar.rate == 0
        for speed in (100, 10):
            for _ in range(60):
                clock.now += 1
                bar.advance(speed)
        assert bar.rate == pytest.approx(10)
        clock.now += 30  # and it sinks while nothing comes
        assert bar.rate == pytest.approx(5, rel=0.1)


def test_an_error_passes_through(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> None:
        with progress(3, "V", unit="frames") as bar:
            bar.advance(2)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert capsys.readouterr().err == "V: stopped, 2/3 frames in 0:00\n"


def test_nothing_at_all_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(0, "V", unit="frames"):
        pass
    assert capsys.readouterr().err == "V: done, 0/0 frames in 0:00\n"


@pytest.mark.parametrize("terminal", [False, True])
def test_quiet(monkeypatch: pytest.MonkeyPatch, clock: Clock, terminal: bool) -> None:
    stream = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("REVERIE_QUIET", "1")
    with progress(3, "V", unit="frames") as bar:
        clock.now += 60
        bar.advance(1, loss=1.0)
    assert stream.getvalue() == ""
    assert bar.done == 1


def _terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Called within the test: pytest puts its own stderr there after the fixtures."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    for name, value in {"TERM": "xterm", "COLUMNS": "120", "NO_COLOR": "1"}.items():
        monkeypatch.setenv(name, value)
    return terminal


def _drawings(terminal: Terminal) -> list[str]:
    """Every line drawn, without what moves the cursor."""
    lines = re.sub("\x1b\\[[0-9;?]*[A-Za-z]", "\n", terminal.getvalue()).splitlines()
    return [line.rstrip() for line in lines if line.strip()]


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch, clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    terminal = _terminal(monkeypatch)
    with progress(40_000, "V: training [tiny]", unit="frames") as bar:
        clock.now += 2
        bar.advance(10_000, loss=0.5)
        print("a result")
    assert _drawings(terminal)[-1].startswith("V: training [tiny] ")
    assert _drawings(terminal)[-1].endswith(" 10,000/40,000 frames | 5,000 frames/s, 0:06 left | loss 0.5")
    assert capsys.readouterr().out == "a result\n"  # stdout is not the bar's


def test_the_last_figures_are_drawn(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    terminal = _terminal(monkeypatch)
    with progress(3, "V", unit="frames") as bar:
        for _ in range(3):  # sooner after another than it draws
            clock.now += 0.01
            bar.advance(1, loss=0.5)
    assert _drawings(terminal)[-1].endswith(" 3/3 frames | 100 frames/s | loss 0.5")


def test_a_bar_within_a_bar_goes_when_it_is_done(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    terminal = _terminal(monkeypatch)
    with progress(2, "C: evolving", unit="generations") as outer:
        with progress(5, "scoring", unit="episodes") as inner:
            clock.now += 1
            inner.advance(5)
            time.sleep(0.6)  # rich draws in a thread of its own, four times a second
        assert any(line.startswith("scoring") and "5/5 episodes" in line for line in _drawings(terminal))
        outer.advance(2)
    assert _drawings(terminal)[-1].startswith("C: evolving")
    with progress(1, "next", unit="frames"):
        pass
    assert _drawings(terminal)[-1].startswith("next")
