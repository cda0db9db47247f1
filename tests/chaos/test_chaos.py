"""One run that everything befalls in turn, and what the harness itself relies on; `make chaos` is the long version."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos import confined
from tests.chaos.fragile import WORLD
from tests.chaos.judging import differences, strays
from tests.small_runs import ENVIRONMENT, PHASES, ROOT, copy_run, flip


@pytest.mark.timeout(900)
def test_a_run_survives_all_that_befalls_it(finished: Path, tmp_path: Path) -> None:
    words = ["-m", "tests.chaos", "--short", str(finished), "--json", str(tmp_path / "counts.json")]
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-5000:]
    counts = json.loads((tmp_path / "counts.json").read_text())
    assert counts["losses"] == []
    assert counts["runs_finished"] >= 3 + confined.is_possible()
    kinds = {"a simulator killed", "a simulator hung", "kill -9 in a file operation"}
    assert kinds < set(counts["faults"])
    assert not confined.is_possible() or counts["faults"]["disk full"] == counts["faults"]["read-only folder"] == 2


def test_a_run_that_differs_is_seen(finished: Path, tmp_path: Path) -> None:
    assert differences(finished, finished) == []
    run = copy_run(finished, tmp_path / "run")
    rows = (run / "memory" / "metrics.jsonl").read_text()
    (run / "memory" / "metrics.jsonl").unlink()
    (run / "memory" / "metrics.jsonl").write_text(rows.replace('"step": 3', '"step": 2'))
    flip(run / "scores" / "agent.json", 0.2)
    for file in (run / "controller" / PHASES[2]).glob("step-00000003.*"):
        file.unlink()
    (run / "vision" / "a.tmp").touch()
    found = differences(run, finished)
    assert found == ["memory's metrics", f"controller/{PHASES[2]}'s checkpoint", "agent.json"]
    assert strays(run) == [str(run / "vision" / "a.tmp")]


def test_only_what_python_itself_leaves_is_no_stray(tmp_path: Path) -> None:
    run, scratch = tmp_path / "run", tmp_path / "scratch"
    (scratch / "inner").mkdir(parents=True)
    (scratch / "e0lciwsj").write_bytes(b"blat")
    (scratch / "cut").write_bytes(b"")
    assert strays(run, scratch) == [str(scratch / "inner")]
    (scratch / "inner" / "deeper").write_bytes(b"")
    (scratch / "ours").write_bytes(b"blot")
    assert set(strays(run, scratch)) == {str(scratch / name) for name in ("inner", "inner/deeper", "ours")}


def test_the_fragile_world_is_the_same_whichever_process_draws_it() -> None:
    from reverie.worlds.registry import make

    one, other = make(WORLD, 1), make(WORLD, 1)
    try:
        for seed in (3, 4):
            assert (one.reset(seed=seed)[0] == other.reset(seed=seed)[0]).all()
    finally:
        one.close()
        other.close()
