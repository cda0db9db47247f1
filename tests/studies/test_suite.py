"""The suite on small worlds from end to end, and its table on made-up runs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reverie.cli import main
from reverie.errors import DamagedFileError, ReverieError
from reverie.evaluation.score import Score
from reverie.hardware import core_count, single_thread
from reverie.play.env_spec import close_envs
from reverie.studies import suite as suites
from reverie.studies.suite import SUITE, Suite, suite
from reverie.studies.suite_lines import PeerRun, SuiteRun, keep_peer, keep_run, read_peers, read_runs
from reverie.studies.suite_table import Problem, each_and_mean, number
from tests.small_runs import ENVIRONMENT, ROOT, snapshot
from tests.studies.test_studies import LEARNING, SMALL

QUICK = [*SMALL[: SMALL.index("--rounds.count")], *LEARNING]


@pytest.fixture(autouse=True)
def quiet_and_single_threaded(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("REVERIE_QUIET", "1")
    with single_thread():
        yield
    close_envs()


def made_up(world: str = "tiny", seed: int = 0, mean: float = 50.0, **changes: Any) -> SuiteRun:
    run = SuiteRun(
        world=world,
        preset="tiny",
        seed=seed,
        digest="d",
        run_dir=f"{world}-tiny-{seed}",
        score=Score.of([mean - 1, mean + 1], world, 0),
        random=20.0,
        random_std=4.0,
        dream=None,
        real_steps=120,
        seconds=90.0,
        learning_seconds=1.5,
        cores=core_count(),
        verdict="it learns",
    )
    return replace(run, **changes)


def peer_of(run: SuiteRun, peer: str, mean: float, **changes: Any) -> PeerRun:
    line = PeerRun(
        world=run.world,
        preset=run.preset,
        seed=run.seed,
        peer=peer,
        budget="steps",
        allowed=run.real_steps,
        steps=run.real_steps,
        seconds=3.0,
        cores=core_count(),
        version="peer 1",
        score=Score.of([mean], run.world, 0),
    )
    return replace(line, **changes)


def test_a_world_that_is_not_there_is_a_line_and_no_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "suite"
    words = ["suite", "NoSuch-v0", "tiny", "--preset", "tiny", "--dir", str(folder), "--workers", "0", "--json"]
    with pytest.raises(SystemExit) as stop:
        main([*words, *QUICK])
    assert stop.value.code == 2
    said = json.loads(capsys.readouterr().out)
    (row,), (problem,) = said["worlds"], said["problems"]
    assert (row["world"], row["seeds"], len(row["scores"])) == ("tiny", [0], 1)
    assert (problem["world"], problem["seed"]) == ("NoSuch-v0", 0)
    assert problem["problem"].startswith("unknown world 'NoSuch-v0'")
    table = Path(said["table"]).read_text().splitlines()
    assert [line.split(" | ")[0] for line in table] == ["| world", "| ---", "| tiny", "| NoSuch-v0"]
    assert "seed 0 was not made: unknown world 'NoSuch-v0'" in table[-1]
    (line,) = read_runs(folder)
    assert line.score.episodes == 2
    assert 0 < line.learning_seconds < line.seconds
    before = snapshot(folder / line.run_dir)
    with pytest.raises(SystemExit) as stop:
        main([*words[:1], *words[2:], *QUICK])
    assert stop.value.code == 0
    assert json.loads(capsys.readouterr().out)["worlds"] == said["worlds"]
    assert snapshot(folder / line.run_dir) == before


def test_what_was_broken_off_goes_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("reverie.runs.stages.memory", stop)
        with pytest.raises(KeyboardInterrupt):
            suite(tmp_path, ["tiny"], "tiny", settings=QUICK)
    assert read_runs(tmp_path) == []
    vision = {name: state for name, state in snapshot(tmp_path / "tiny-tiny-0").items() if "vision/step-" in name}
    assert vision
    suite(tmp_path, ["tiny"], "tiny", settings=QUICK)
    assert [line.key for line in read_runs(tmp_path)] == [("tiny", "tiny", 0)]
    after = snapshot(tmp_path / "tiny-tiny-0")
    assert {name: after[name] for name in vision} == vision


def test_a_run_of_other_settings_is_a_problem(tmp_path: Path) -> None:
    suite(tmp_path, ["tiny"], "tiny", settings=QUICK)
    (problem,) = suite(tmp_path, ["tiny"], "tiny", settings=[*QUICK, "--vision.updates", "2"]).problems
    assert "was made with other settings (vision.updates: 3 there, 2 asked for)" in problem.problem


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"preset": "huge"}, "unknown preset 'huge'"),
        ({"settings": ["--vision.updatez", "3"]}, "vision.updatez"),
        ({"seeds": 0}, "--seeds is 0; expected at least 1"),
    ],
)
def test_words_that_no_world_takes_end_it(tmp_path: Path, words: dict[str, Any], message: str) -> None:
    with pytest.raises(ReverieError, match=message):
        suite(tmp_path, ["tiny"], **words)
    assert not list(tmp_path.glob("tiny*"))


def test_the_worlds_of_the_suite(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[tuple[str, int, int]] = []

    def note(experiment: Any, *_: object) -> None:
        asked.append((experiment.world, experiment.seed, experiment.evaluation_episodes))
        raise ReverieError("enough")

    monkeypatch.setattr(suites, "run", note)
    monkeypatch.setattr(suites, "SUITE", (suites.Entry("tiny", seeds=3), suites.Entry("climb", long=True)))
    suite(tmp_path)
    assert asked == [("tiny", 0, 100), ("tiny", 1, 100), ("tiny", 2, 100), ("climb", 0, 30)]
    asked.clear()
    suite(tmp_path, preset="standard")
    suite(tmp_path, ["climb"], seeds=2)
    assert [one[:2] for one in asked] == [("tiny", 0), ("climb", 0), ("climb", 0), ("climb", 1)]
    assert len({entry.world for entry in SUITE}) == 13
    assert sum(entry.seeds for entry in SUITE) == 5 * 3 + 8


def test_the_table_in_figures(tmp_path: Path) -> None:
    zero, one = made_up(mean=50), made_up(seed=1, mean=60, dream=Score.of([70.0], "tiny", 0, "dream", 1.0))
    for run in (one, zero, made_up("CartPole-v1", mean=-0.5), replace(made_up("climb"), preset="quick")):
        keep_run(tmp_path, run)
    keep_run(tmp_path, zero)  # in place of its line
    for peer in (
        peer_of(one, "SAC", 1000),
        peer_of(zero, "SAC", 2000),
        peer_of(zero, "PPO", 7, budget="time", allowed=1.5),
        peer_of(one, "PPO", 9, allowed=119),  # of a run that has been made anew since
    ):
        keep_peer(tmp_path, peer)
    found = Suite.read(tmp_path, "tiny", [Problem("doom", 0, "needs a|b")])
    assert [line[2:-2].split(" | ") for line in found.table().splitlines()[2:]] == [
        ["CartPole-v1", "20.0 ± 4.00", "**-0.50**", "", "120", "2", "", ""],
        ["tiny", "20.0 ± 4.00", "**55.0** (50.0, 60.0)", "70.0", "120", "2", "1,500 (2,000, 1,000)", "7.00"],
        ["doom", "seed 0 was not made: needs a\\|b", *[""] * 6],
    ]  # fmt: skip
    assert found.table().splitlines()[0].endswith("| minutes | SAC, same real steps | PPO, same time |")
    assert found.as_dict()["worlds"][1]["peers"] == [
        {"peer": "SAC", "budget": "steps", "scores": [2000, 1000]},
        {"peer": "PPO", "budget": "time", "scores": [7]},
    ]


def test_figures_as_a_reader_wants_them() -> None:
    assert [number(value) for value in (-0.123, 9.99, 500, -1216.4)] == ["-0.12", "9.99", "500.0", "-1,216"]
    assert each_and_mean([]) == ""
    assert each_and_mean([1.0, 2.0], "**") == "**1.50** (1.00, 2.00)"


@pytest.mark.parametrize(
    "line",
    [b"{", b"[]", b"{}", *(json.dumps({"world": 1, "preset": "tiny", "seed": "0"}).encode(),)],
)
def test_a_damaged_line_is_named(tmp_path: Path, line: bytes) -> None:
    keep_run(tmp_path, made_up())
    file = tmp_path / "results.jsonl"
    file.write_bytes(file.read_bytes() + line + b"\n")
    with pytest.raises(DamagedFileError, match=r"results\.jsonl line 2 is not a result of the suite .*; remove that"):
        read_runs(tmp_path)


def peers(folder: Path, *words: str) -> list[str]:
    """What `benchmarks/peers.py` says it has trained, without the scores."""
    pytest.importorskip("stable_baselines3", reason="it is not installed: pip install 'reverie[dev]'")
    command = [sys.executable, "benchmarks/peers.py", str(folder), "--preset", "tiny", *words]
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [line.rpartition(":")[0] for line in done.stdout.splitlines() if ", seed " in line]


def test_peers_play_where_a_run_did(tmp_path: Path) -> None:
    run = made_up("CartPole-v1")
    keep_run(tmp_path, run)
    assert peers(tmp_path) == [f"CartPole-v1, seed 0: {peer}, same steps" for peer in ("PPO", "DQN")]
    lines = read_peers(tmp_path)
    assert [(line.peer, line.steps, line.score.episodes) for line in lines] == [("PPO", 120, 2), ("DQN", 120, 2)]
    assert all(line.is_beside(run) for line in lines)


def test_peers_go_on_and_have_the_same_time(tmp_path: Path) -> None:
    run = made_up()
    for line in (run, made_up(seed=1)):
        keep_run(tmp_path, line)
    done = [peer_of(run, peer, 5.0) for peer in ("PPO", "SAC")]
    for one in done:
        keep_peer(tmp_path, one)
    told = peers(tmp_path, "--same-time", "tiny", "--seeds", "1")
    assert told == [f"tiny, seed 0: {peer}, same {budget}" for peer in ("PPO", "SAC") for budget in ("steps", "time")]
    assert read_peers(tmp_path)[:2] == done
    timed = read_peers(tmp_path)[2:]
    assert [(line.peer, line.budget, line.allowed) for line in timed] == [("PPO", "time", 1.5), ("SAC", "time", 1.5)]
    assert all(line.seconds >= 1.5 for line in timed)
