"""A run that begins at weights that are there: which they are, that they fit, and that resume knows them again."""

from __future__ import annotations

import shutil
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from reverie.agents.trained import open_export
from reverie.cli.commands import COMMANDS
from reverie.cli.parse import parse
from reverie.cli.words import Run, Stage
from reverie.errors import ReverieError
from reverie.memory.config import MemoryConfig
from reverie.memory.model import MDNRNN
from reverie.recipe.experiment import PRESETS, Experiment, Preset
from reverie.recipe.presets import make_experiment
from reverie.runs import opening, stages
from reverie.runs.opening import trained_in
from reverie.runs.run_folder import RunFolder, create_run, open_run
from reverie.runs.starting import GROWS, SIZES, start_of, start_params, starting_from
from reverie.settings import with_changes
from tests.runs.exports import with_weights
from tests.small_runs import copy_run, settings

STILL = {  # nothing that is learned moves from where it began
    "vision__learning_rate": 1e-12,
    "vision__min_lr": 1e-12,
    "memory__learning_rate": 1e-12,
    "memory__lr_decay": 1.0,
    "phases": "cmaes:dream:1:all:sigma=1e-12",
    "collect__episodes": 6,
}


def small(**changes: Any) -> Experiment:
    return with_changes(make_experiment("tiny", "tiny"), settings(**changes))


def played(experiment: Experiment, path: Path) -> RunFolder:
    """A run whose V, M and C have been trained."""
    run = create_run(path, experiment)
    for stage in (stages.collect, stages.vision, stages.memory, stages.controller):
        stage(run, 0)
    return run


@pytest.mark.parametrize("kind", ["an export", "a run"])
def test_v_m_and_c_begin_at_the_weights(kind: str, exported: Path, finished: Path, tmp_path: Path) -> None:
    source = exported if kind == "an export" else finished
    start = open_export(exported) if kind == "an export" else trained_in(open_run(finished))
    experiment = starting_from(small(**STILL), str(source))
    assert (experiment.start_from, experiment.start_digest) == (str(source), start.digest())
    ended = trained_in(played(experiment, tmp_path / "run"))
    for model in ("vision", "memory"):
        ours = getattr(ended, model).state_dict()
        for name, weight in getattr(start, model).state_dict().items():
            if name != "reward_scale":  # of the new run's own rewards
                torch.testing.assert_close(ours[name], weight, rtol=0, atol=1e-9, msg=name)
    np.testing.assert_allclose(ended.params, start.params, atol=1e-9)


def test_c_cannot_see_a_survival_head_that_no_m_has_learned(exported: Path) -> None:
    blind = with_changes(small(), ["--memory.survival_head", "2", "4", "--controller.inputs", "z", "h", "survival"])
    assert starting_from(blind, str(exported)).memory.survival_head == (2, 4)  # M grows it and learns it
    with pytest.raises(ReverieError, match=r"^memory.updates is 0, and C is to see a survival head of \(2, 4\)"):
        starting_from(replace(blind, memory=replace(blind.memory, updates=0)), str(exported))


def test_a_run_that_goes_on_ends_with_the_same_bits(exported: Path, tmp_path: Path) -> None:
    whole = played(starting_from(small(collect__episodes=6), str(exported)), tmp_path / "whole")
    run = open_run(copy_run(whole.path, tmp_path / "stopped"))
    for folder, last in ((run.vision, 6), (run.memory, 12)):
        (folder / f"step-{last:08d}.json").unlink()  # killed before the last checkpoint
    shutil.rmtree(run.controller)  # and before the first
    for stage in (stages.vision, stages.memory, stages.controller):
        stage(run, 0)
    assert trained_in(run).digest() == trained_in(whole).digest()
    assert trained_in(run).digest() != open_export(exported).digest()


def test_the_weights_are_asked_for_only_where_a_stage_begins(exported: Path, tmp_path: Path) -> None:
    source = copy_run(exported, tmp_path / "source")
    run = create_run(tmp_path / "run", starting_from(small(), str(source)))
    start = start_of(run, run.vision)
    assert start is not None
    assert start.path == source
    run.vision.mkdir()
    (run.vision / "step-00000002.json").write_text("{}")
    assert start_of(run, run.vision) is None
    with_weights("controller.safetensors", lambda arrays: arrays.update(params=arrays["params"] + 1e-12))(source)
    with pytest.raises(ReverieError) as error:
        start_of(run, run.memory)
    assert str(error.value) == (
        f"{run.path} was made to begin at the weights of {source}, which have changed since; "
        "restore them, or choose another run folder"
    )
    assert start_of(run, run.vision) is None


def test_a_run_without_such_weights_begins_anew(tmp_path: Path) -> None:
    run = create_run(tmp_path / "run", small())
    assert start_of(run, run.vision) is None


def test_a_run_made_at_other_weights_is_another_run(exported: Path, tmp_path: Path) -> None:
    experiment = starting_from(small(), str(exported))
    create_run(tmp_path / "run", experiment)
    with pytest.raises(ReverieError) as error:
        create_run(tmp_path / "run", small())
    assert f"(start_from: {str(exported)!r} there, None asked for; start_digest: " in str(error.value)
    with pytest.raises(ReverieError, match=r"start_digest: '[0-9a-f]{16}' there, '0000' asked for"):
        create_run(tmp_path / "run", replace(experiment, start_digest="0000"))


@pytest.mark.parametrize(
    ("experiment", "misfits"),
    [
        (small(memory__hidden_size=9), "memory.hidden_size: 8 there, 9 asked for"),
        (
            small(vision__latent_size=9),
            "vision.latent_size: 8 there, 9 asked for; memory.latent_size: 8 there, 9 asked for",
        ),
    ],
)
def test_weights_that_do_not_fit(experiment: Experiment, misfits: str, exported: Path) -> None:
    with pytest.raises(ReverieError) as error:
        starting_from(experiment, str(exported))
    assert str(error.value) == (
        f"the weights of {exported} do not fit this run ({misfits}); "
        "set the run's sizes to those, or begin at other weights"
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hidden_size": 3}, "controller.hidden_size: 0 there, 3 asked for"),
        (
            {"inputs": "z", "bias": False},
            "controller.inputs: ['z', 'h'] there, ['z'] asked for; controller.bias: True there, False asked for",
        ),
    ],
)
def test_a_c_of_another_shape_begins_anew(
    changes: dict[str, Any],
    said: str,
    exported: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REVERIE_QUIET", "0")
    shape = {f"controller__{name}": value for name, value in changes.items()}
    run = create_run(tmp_path / "run", starting_from(small(**shape), str(exported)))
    assert start_params(run) is None
    assert capsys.readouterr().err == f"C begins anew: that of {exported} has another shape ({said})\n"
    assert start_of(run, run.memory) is not None


def test_c_of_the_same_shape_begins_at_the_weights(exported: Path, tmp_path: Path) -> None:
    """What C sees of a real z changes nothing about its shape."""
    run = create_run(tmp_path / "run", starting_from(small(controller__sample_z=False), str(exported)))
    np.testing.assert_array_equal(start_params(run), open_export(exported).params)


def test_weights_of_a_world_with_other_actions_do_not_fit(exported: Path) -> None:
    with pytest.raises(
        ReverieError, match=r"actions\.kind: 'continuous' there, 'discrete' asked for; actions\.size: 1"
    ):
        starting_from(make_experiment("CartPole-v1", "tiny"), str(exported))


def test_pretrained_is_the_agent_of_the_world_that_comes_with_reverie(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "SHIPPED", tmp_path)
    with pytest.raises(ReverieError) as error:
        starting_from(small(), "pretrained")
    assert str(error.value) == (
        "no agent 'tiny' comes with reverie 0.1.0 (none does yet); 'reverie run tiny' makes one, "
        "named by its run folder, runs/tiny-quick"
    )
    copy_run(exported, tmp_path / "tiny")
    experiment = starting_from(small(), "pretrained")
    assert (experiment.start_from, experiment.start_digest) == ("pretrained", open_export(exported).digest())
    start = start_of(create_run(tmp_path / "run", experiment), tmp_path / "run" / "vision")
    assert start is not None
    assert start.path == tmp_path / "tiny"


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("world", opening.shipped())
def test_every_preset_can_begin_at_what_comes_with_reverie(world: str, preset: Preset) -> None:
    experiment = starting_from(make_experiment(world, preset), "pretrained")
    assert experiment.memory.clock == open_export(opening.SHIPPED / world).experiment.memory.clock


@pytest.mark.parametrize("field", [field.name for field in fields(MemoryConfig)])
def test_the_sizes_are_all_that_the_weights_of_m_depend_on(field: str) -> None:
    usual = MemoryConfig(latent_size=2, hidden_size=3, action_size=2, done_head=True, reward_head=True)
    value = getattr(usual, field)
    other: Any = value / 2 if isinstance(value, float) else value + 3 if type(value) is int else not value
    changed = replace(usual, **{field: (2,) if field == "survival_head" else other})
    with torch.device("meta"):
        shapes = [{name: w.shape for name, w in _empty(config).items()} for config in (usual, changed)]
    assert (shapes[0] != shapes[1]) == (field in (*SIZES["memory"], *GROWS))


def _empty(config: MemoryConfig) -> dict[str, torch.Tensor]:
    return MDNRNN(config).state_dict()


def test_the_words_make_the_experiment_and_name_its_folder(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Experiment, Path]] = []

    def remember(experiment: Experiment, path: Path, *rest: object) -> None:
        asked.append((experiment, path))
        raise KeyboardInterrupt

    monkeypatch.setattr("reverie.runs.run.run", remember)
    for words in ([], ["--from", str(exported)], ["--from", str(exported), "--run-dir", str(tmp_path / "mine")]):
        with pytest.raises(KeyboardInterrupt):
            COMMANDS["run"].act(parse(Run, ["tiny", "--preset", "tiny", *words], "reverie run"), settings())
    assert [path for _, path in asked] == [
        Path("runs/tiny-tiny"),
        Path("runs/tiny-tiny-from-follow"),
        tmp_path / "mine",
    ]
    assert [experiment.start_from for experiment, _ in asked] == [None, str(exported), str(exported)]


def test_a_stage_makes_a_run_at_the_weights_too(exported: Path, tmp_path: Path) -> None:
    collect = COMMANDS["collect"].act
    words = [str(tmp_path / "run"), "--world", "tiny", "--preset", "tiny", "--from", str(exported), "--workers", "0"]
    collect(parse(Stage, words, "reverie collect"), settings(collect__episodes=2))
    assert open_run(tmp_path / "run").experiment.start_from == str(exported)
    with pytest.raises(ReverieError) as error:
        collect(parse(Stage, [str(tmp_path / "run"), "--from", "doom"], "reverie collect"), [])
    assert str(error.value) == "--from is for a new run; add --world WORLD, or leave it out"
