from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from reverie.cli import main
from reverie.cli.commands import with_rounds
from reverie.episodes.store import Store
from reverie.errors import ReverieError
from reverie.files.checkpoint import latest_checkpoint
from reverie.recipe.experiment import Experiment
from reverie.recipe.presets import make_experiment
from reverie.recipe.rounds import RoundsConfig
from reverie.runs import stages
from reverie.runs.opening import load_agent, load_params
from reverie.runs.rounds import rounds_of, rounds_table
from reverie.runs.run import run
from reverie.runs.run_folder import create_run, open_run
from reverie.runs.scoring import read_scores
from reverie.settings import with_changes
from reverie.vision.latents import Latents

SMALL = [
    *("--collect.episodes", "6", "--collect.max-steps", "12", "--vision.updates", "4", "--vision.batch-size", "4"),
    *("--memory.updates", "6", "--memory.batch-size", "4", "--memory.window", "8", "--memory.decay", "0.9"),
    *("--evolution.population", "4", "--evolution.rollouts", "1", "--evolution.generations", "2"),
    *("--evolution.rescore-rollouts", "2", "--evaluation-episodes", "2"),
    *("--rounds.count", "2", "--rounds.episodes", "4", "--rounds.memory-updates", "3", "--rounds.generations", "1"),
    *("--rounds.evaluation-episodes", "1"),
]


def small(*changes: str) -> Experiment:
    return with_changes(make_experiment("tiny", "tiny"), [*SMALL, *changes])


@pytest.fixture(scope="module")
def iterated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rounds") / "run"
    run(small(), path, workers=0)
    return path


def test_a_round_trains_for_what_the_rounds_say_and_ends_at_the_same_learning_rate() -> None:
    whole = small()
    later = whole.in_round(2)
    assert whole.in_round(0) is whole
    assert (later.memory.updates, later.evolution.generations, later.collect.episodes) == (3, 1, 4)
    assert with_changes(whole, ["--evolution.first-rollouts", "1"]).in_round(2).evolution == later.evolution
    assert later.memory.learning_rate_at(3) == pytest.approx(whole.memory.learning_rate_at(6))
    assert (whole.episodes_by(0), whole.episodes_by(2)) == (6, 14)


def test_a_round_does_as_the_first_pass_where_the_rounds_do_not_say() -> None:
    whole = small("--gradient.updates", "5")
    assert (whole.in_round(1).gradient.updates, whole.in_round(1).collect.max_steps) == (5, 12)
    told = with_changes(whole, ["--rounds.gradient-updates", "0", "--rounds.max-steps", "20"])
    assert (told.in_round(1).gradient.updates, told.in_round(1).collect.max_steps) == (0, 20)
    assert told.dreams_to_learn
    assert not with_changes(told, ["--gradient.updates", "0"]).dreams_to_learn


def test_the_rate_of_m_falls_in_rounds_as_in_the_first_pass_or_by_decay_itself() -> None:
    """As far in a round as in the first pass; where that trains no M, by `decay` an update."""
    whole = make_experiment("doom", "standard")
    first, later = whole.memory, whole.in_round(1).memory
    assert later.decay**later.updates == pytest.approx(first.decay**first.updates)
    given = with_changes(whole, ["--memory.updates", "0", "--memory.decay", "0.9987"])
    assert given.in_round(1).memory.decay == pytest.approx(0.9987)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("count", -1, "rounds.count is -1; expected at least 0"),
        ("episodes", 0, "rounds.episodes is 0; expected at least 1"),
        ("memory_updates", -1, "rounds.memory_updates is -1; expected at least 0"),
        ("max_steps", 0, "rounds.max_steps is 0; expected at least 1"),
        ("evaluation_episodes", 0, "rounds.evaluation_episodes is 0; expected at least 1"),
        ("noise", 1.5, "rounds.noise is 1.5; expected a chance, 0 to 1"),
    ],
)
def test_bad_settings_are_refused(name: str, value: float, message: str) -> None:
    with pytest.raises(ReverieError) as caught:
        RoundsConfig(**{name: value})
    assert str(caught.value) == message


def test_each_round_adds_what_c_played_and_trains_on(iterated: Path) -> None:
    folder = open_run(iterated)
    assert folder.round == 2
    entries = Store(folder.rollouts).entries
    assert len(entries) == 14
    assert {entry.policy for entry in entries[6:]} <= {"agent", "agent, disturbed"}
    assert not {entry.policy for entry in entries[:6]} & {"agent", "agent, disturbed"}
    steps = [checkpoint.step for number in (0, 1, 2) if (checkpoint := latest_checkpoint(folder.at(number).memory))]
    assert steps == [6, 3, 3]
    assert [folder.at(number).memory.parent.name for number in (0, 1, 2)] == ["run", "round-1", "round-2"]
    assert folder.vision == folder.at(0).vision  # V was left as it was


def test_every_round_is_scored_and_the_last_one_is_the_runs_own(iterated: Path) -> None:
    folder = open_run(iterated)
    files = {str(file.relative_to(iterated)) for file in iterated.rglob("scores/*.json")}
    rounds = {f"round-{number}/scores/{name}.json" for number in (0, 1) for name in ("agent", "dream")}
    assert files == rounds | {f"scores/{name}.json" for name in ("agent", "dream", "random")}
    assert [folder.at(number).scored_episodes for number in (0, 1, 2)] == [1, 1, 2]
    for at in map(folder.at, (0, 1, 2)):
        assert {score.episodes for score in read_scores(at).values()} == {at.scored_episodes}
    assert (load_agent(folder).params.numpy() == load_params(folder).astype(np.float32)).all()
    assert {"collect", "collect, round 2", "controller, round 1"} <= set(folder.timings)


def test_the_rows_of_the_rounds(iterated: Path) -> None:
    folder = open_run(iterated)
    rows = rounds_of(folder)
    steps = [entry.steps for entry in Store(folder.rollouts).entries]
    assert [row.real_steps for row in rows] == [sum(steps[:6]), sum(steps[:10]), sum(steps)]
    assert [sorted(row.fresh) for row in rows] == [[], ["done", "reward", "z_nll"], ["done", "reward", "z_nll"]]
    assert all(row.agent and row.dream for row in rows)
    cells = [row.coverage or 0 for row in rows]
    assert 0 < cells[0] <= cells[1] <= cells[2] == rows[2].as_dict()["coverage"]
    assert f" {cells[1]:,} " in rounds_table(folder)
    assert rows[2].as_dict()["real"]["mean"] == read_scores(folder)["agent"].mean
    assert f"{rows[1].agent.mean:.1f} ±" in rounds_table(folder)  # type: ignore[union-attr]


def test_a_second_call_changes_nothing(iterated: Path) -> None:
    def weights() -> dict[str, bytes]:
        files = {str(path): load_file(path) for path in iterated.rglob("*.safetensors")}
        return {f"{path}:{name}": array.tobytes() for path, arrays in files.items() for name, array in arrays.items()}

    before = weights()
    run(small(), iterated, workers=0)
    assert weights() == before


def test_rounds_can_be_added_to_a_finished_run(iterated: Path, tmp_path: Path) -> None:
    run(small("--rounds.count", "1"), tmp_path / "run", workers=0)
    earlier = read_scores(open_run(tmp_path / "run"))["agent"]
    run(small(), tmp_path / "run", workers=0)
    longer, straight = open_run(tmp_path / "run"), open_run(iterated)
    assert (load_params(longer) == load_params(straight)).all()
    assert [read_scores(longer.at(1))["agent"], *read_scores(longer).values()] == [
        earlier,
        *read_scores(straight).values(),
    ]
    with pytest.raises(ReverieError, match=r"rounds.count: 2 there, 1 asked for"):
        create_run(tmp_path / "run", small("--rounds.count", "1"))
    longer.reproduced.mkdir()
    with pytest.raises(ReverieError, match=r"as it ended after round 2; move it away to add rounds$"):
        create_run(tmp_path / "run", small("--rounds.count", "3"))


def test_v_learns_on_where_it_is_asked_to(tmp_path: Path) -> None:
    folder = create_run(tmp_path / "run", small("--rounds.vision-updates", "2", "--rounds.count", "1"))
    for number in (0, 1):
        for stage in ("collect", "vision", "memory", "controller"):
            getattr(stages, stage)(folder.at(number), 0)
    first, later = (latest_checkpoint(folder.at(number).vision) for number in (0, 1))
    assert first is not None
    assert later is not None
    assert (first.step, later.step) == (4, 2)
    assert folder.latents == tmp_path / "run" / "round-1" / "latents"
    assert not (folder.memory / "fresh.json").exists()  # the old M does not know the new V's latents
    before = latent_files(folder.path)
    stages.vision(folder.at(0), 0)  # as a run that goes on does: its V never sees what was played later
    assert [len(Latents(folder.at(number).latents).entries) for number in (0, 1)] == [6, 10]
    assert latent_files(folder.path) == before


def latent_files(path: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in path.rglob("part-*.safetensors")}


def test_the_same_bits_with_workers(iterated: Path, tmp_path: Path) -> None:
    run(small("--rounds.count", "1"), tmp_path / "run", workers=2)
    assert (load_params(open_run(tmp_path / "run")) == load_params(open_run(iterated).at(1))).all()


def test_no_round_beyond_the_last(iterated: Path) -> None:
    with pytest.raises(ReverieError, match=r"^round 3 of .*; expected 0 to 2$"):
        open_run(iterated).at(3)


def test_a_world_without_left_and_right_has_no_mirror(tmp_path: Path) -> None:
    with pytest.raises(ReverieError, match=r"^discrete actions have no left and right; leave mirror off"):
        create_run(tmp_path / "run", with_changes(make_experiment("CartPole-v1", "tiny"), ["--mirror", "true"]))


def test_the_command_says_what_each_round_brought(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["iterate", "tiny", "--preset", "tiny", "--rounds", "1", "--run-dir", str(tmp_path / "run"), "--json"]
    with pytest.raises(SystemExit) as stop:
        main([*words, "--workers", "0", *SMALL])
    assert stop.value.code == 0
    said = json.loads(capsys.readouterr().out)
    assert [row["round"] for row in said["rounds"]] == [0, 1]
    assert said["rounds"][1]["real"]["mean"] == said["score"]["mean"]


@pytest.mark.parametrize(("preset", "given", "count"), [("quick", None, 3), ("standard", None, 3), ("standard", 5, 5)])
def test_how_many_rounds(preset: str, given: int | None, count: int) -> None:
    assert with_rounds(make_experiment("doom", preset), given).rounds.count == count
