"""In a world whose cap is far above what was collected, nothing that a run plays lasts until the cap."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from reverie.hardware import single_thread
from reverie.play.env_spec import close_envs
from reverie.recipe.presets import make_experiment
from reverie.report.recording import record_dream, record_world
from reverie.runs.export import export_run
from reverie.runs.opening import env_of, open_trained, steps_to_cut
from reverie.runs.run import run
from reverie.runs.run_folder import RunFolder, open_run
from reverie.runs.scoring import read_scores
from reverie.settings import with_changes
from reverie.worlds import spec
from reverie.worlds.tiny import TINY
from tests.small_runs import settings

COLLECTED, SHORT = 8, 3  # steps of the longest episode; what is played at least


@pytest.fixture(scope="module")
def long_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunFolder]:
    """A whole run whose episodes are cut at 8 of the world's 100 steps."""
    path = tmp_path_factory.mktemp("long") / "run"
    words = settings(phases="cmaes:dream:1 ppo:world:1:all:num_envs=3", collect__episodes=6, evaluation_episodes=4)
    with pytest.MonkeyPatch.context() as patch, single_thread():
        patch.setattr(spec, "LONG", SHORT)
        run(with_changes(make_experiment("tiny", "tiny"), words), path, workers=0)
        yield open_run(path)
    close_envs()


@pytest.mark.parametrize(
    ("longest", "steps"), [(None, 27_000), (30, 2100), (2100, 2100), (4000, 4000), (90_000, 27_000)]
)
def test_steps_follow_the_longest_recorded_episode(longest: int | None, steps: int) -> None:
    long = spec.WorldSpec("long", spec.ActionSpec("discrete", 2), "predicted", max_steps=27_000)
    assert long.steps_to_play(longest) == steps
    assert TINY.steps_to_play(longest) == TINY.max_steps  # a cap of 100 is none to fear


def test_scores_say_where_they_were_cut(long_run: RunFolder) -> None:
    scores = read_scores(long_run)
    assert {name: score.max_steps for name, score in scores.items()} == dict.fromkeys(
        ("agent", "dream", "random"), COLLECTED
    )
    assert all(score.max <= COLLECTED for score in (scores["agent"], scores["random"]))  # at most 1 a step


def test_films_end_where_scores_do(long_run: RunFolder) -> None:
    agent = open_trained(long_run.path).agent()
    awake = record_world(agent, [2**30], steps_to_cut(long_run))
    (engine,) = env_of(long_run, "dream").engines()
    asleep = record_dream(engine, agent, agent.senses.vision, [2**30])
    assert len(awake.actions) == COLLECTED
    assert 1 <= len(asleep.actions) <= COLLECTED


def test_dreams_that_c_learns_in_end_there_unless_they_have_a_horizon(long_run: RunFolder) -> None:
    assert env_of(long_run, "dream", learns=True).episode_limits.max_steps == COLLECTED


def test_an_export_knows_how_long_its_dreams_last(long_run: RunFolder, tmp_path: Path) -> None:
    export_run(long_run, tmp_path / "agent")
    dream = open_trained(tmp_path / "agent").dream(1, seed=0)
    assert dream.max_steps == COLLECTED
