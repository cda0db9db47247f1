"""A command that is ended by a signal stops in order, as by Ctrl-C."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from typing import Any

import pytest

from reverie.cli import commands, dispatch, main


@pytest.fixture
def struck_by(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make `reverie worlds` send a signal to its own process."""

    def change(number: int) -> list[str]:
        done: list[str] = []

        def act(words: object, settings: list[str]) -> commands.Result:
            try:
                os.kill(os.getpid(), number)
                return commands.Result("not stopped")
            finally:
                done.append("tidied up")

        monkeypatch.setitem(dispatch.COMMANDS, "worlds", replace(commands.COMMANDS["worlds"], act=act))
        return done

    return change


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
def test_it_tidies_up_and_says_so(number: int, code: int, struck_by: Any, capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(number)
    done = struck_by(number)
    with pytest.raises(SystemExit) as stop:
        main(["worlds"])
    assert stop.value.code == code
    assert done == ["tidied up"]
    assert capsys.readouterr().err == "reverie: stopped; the same command goes on from here\n"
    assert signal.getsignal(number) == before


def test_under_nohup_it_goes_on(struck_by: Any, capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        struck_by(signal.SIGHUP)
        with pytest.raises(SystemExit) as stop:
            main(["worlds"])
    finally:
        signal.signal(signal.SIGHUP, before)
    assert stop.value.code == 0
    assert capsys.readouterr().out == "not stopped\n"
