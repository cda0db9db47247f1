"""A run that takes its episodes from a data set, and knows it again."""

from __future__ import annotations

from pathlib import Path

import pytest

from reverie.cli import main
from reverie.episodes.minari_data import export_minari
from reverie.episodes.store import Store
from reverie.errors import ReverieError
from reverie.hardware import single_thread
from reverie.recipe.listing import command_of
from reverie.recipe.presets import make_experiment
from reverie.runs.run import title_of
from reverie.runs.run_folder import create_run
from reverie.runs.starting import learning_from, take_in
from reverie.worlds.tiny import TINY
from tests.episodes.episodes import make_episode
from tests.small_runs import small_run

minari = pytest.importorskip("minari", reason="Minari is not installed: pip install 'reverie[minari]'")
pytest.importorskip("h5py", reason="Minari needs h5py: pip install 'reverie[minari]'")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Three episodes, also the data set held-v0."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    store = Store(tmp_path / "rollouts")
    for index in range(3):
        store.append(index, make_episode(5, seed=index, actions=1), seed=100 + index, policy="held")
    export_minari(store, TINY, "held-v0")
    return store


def test_a_run_on_a_data_set(store: Store, tmp_path: Path) -> None:
    experiment = learning_from(make_experiment("tiny", "tiny"), "minari:held-v0")
    assert (experiment.collect.episodes, experiment.data) == (3, "minari:held-v0")
    assert command_of(experiment).startswith("reverie run tiny --preset tiny --seed 0 --data minari:held-v0")
    run = create_run(tmp_path / "run", experiment)
    assert title_of(run, "collect") == "take in the episodes of minari:held-v0"
    take_in(run)
    assert Store(run.rollouts).entries == store.entries
    minari.delete_dataset("held-v0")
    export_minari(Store(run.rollouts), TINY, "held-v0")
    take_in(run)  # the same again
    minari.delete_dataset("held-v0")
    store.append(3, store.read(0), seed=1, policy="held")
    export_minari(store, TINY, "held-v0")
    with pytest.raises(ReverieError, match="was made to learn from minari:held-v0, which has changed since"):
        take_in(run)


def test_a_run_on_another_run_s_episodes_ends_with_its_bits(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Out of one run by the command line, into another: V, M, C and the scores are the same."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    run, data = tmp_path / "run", "minari:tiny/all-v0"
    for words in (["export", str(finished), "--to", data], [*small_run(run), "--data", data]):
        with single_thread(), pytest.raises(SystemExit) as stop:
            main(words)
        assert stop.value.code == 0, capsys.readouterr().err
    for pattern in ("rollouts/episodes/*", "memory/step-*", "controller/*/step-*", "scores/*.json"):
        expected = sorted(finished.glob(pattern))
        assert expected
        for file in expected:
            assert (run / file.relative_to(finished)).read_bytes() == file.read_bytes(), file
