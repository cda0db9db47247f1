"""From what a user names to an agent: a run folder, an export, or an agent that comes with Reverie."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import reverie
from reverie.agents.card import RESTORE
from reverie.errors import DamagedFileError, ReverieError
from reverie.runs import opening
from reverie.runs.opening import REINSTALL, SHIPPED, open_trained
from reverie.runs.verify import verify_run
from tests.small_runs import copy_run, flip


@pytest.fixture
def coming_with(exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of agents that come with Reverie, with one of them in it, "follow"; we stand in another folder."""
    folder = tmp_path / "pretrained"
    folder.mkdir()
    copy_run(exported, folder / "follow")
    monkeypatch.setattr(opening, "SHIPPED", folder)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return folder


def test_a_name_a_run_and_an_export_open_alike(coming_with: Path, finished: Path, exported: Path) -> None:
    assert opening.shipped() == ["follow"]
    places = {"follow": coming_with / "follow", finished: finished, str(exported): exported}
    opened = {place: open_trained(place) for place in places}
    assert {place: trained.path for place, trained in opened.items()} == places
    assert {trained.experiment.world for trained in opened.values()} == {"tiny"}
    assert [trained.card is None for trained in opened.values()] == [False, True, False]


def test_python_takes_a_name(coming_with: Path) -> None:
    agent = reverie.load("follow")
    assert agent.spec.name == "tiny"
    dream = reverie.dream("follow", num_envs=2, temperature=1.2)
    score = reverie.evaluate(agent, dream, episodes=2)
    assert (score.where, score.temperature) == ("dream", 1.2)


def test_a_run_or_an_export_here_wins_over_a_name_and_no_other_folder_does(
    coming_with: Path, finished: Path, exported: Path
) -> None:
    Path("follow").mkdir()
    Path("follow/notes.txt").write_text("not a run")
    assert open_trained("follow").path == coming_with / "follow"
    os.unlink("follow/notes.txt")
    os.rmdir("follow")
    for source in (finished, exported):
        place = copy_run(source, Path("follow"))
        assert open_trained("follow").path == Path("follow")
        place.rename(f"{source.name}-away")


def test_a_damaged_file_of_reverie_is_installed_again(coming_with: Path) -> None:
    flip(coming_with / "follow" / "memory.safetensors")
    with pytest.raises(DamagedFileError) as error:
        open_trained("follow")
    file = coming_with / "follow" / "memory.safetensors"
    fault = "is truncated or altered: card.json gives another SHA-256"
    assert str(error.value) == f"{file} {fault}; {REINSTALL}"
    (problem,) = verify_run(Path("follow"))
    assert (problem.file, problem.problem, problem.remedy) == (str(file), fault, REINSTALL)


def test_a_damaged_file_of_ones_own_is_not(exported: Path, tmp_path: Path) -> None:
    place = copy_run(exported, tmp_path / "mine")
    flip(place / "memory.safetensors")
    with pytest.raises(DamagedFileError, match=f"; {RESTORE}$"):
        open_trained(place)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "carracing",
            "no run folder carracing here, and no agent 'carracing' comes with reverie 0.1.0 (follow); "
            "'reverie run carracing' makes one, named by its run folder, runs/carracing-quick",
        ),
        (
            "folow",
            "no run folder folow here, and no agent 'folow' comes with reverie 0.1.0 (follow); did you mean 'follow'? "
            "'reverie run WORLD' makes one, named by its run folder, runs/WORLD-quick",
        ),
        ("runs/none", "runs/none is not a run folder (no config.json in it); 'reverie run WORLD' makes one"),
        ("..", ".. is not a run folder (no config.json in it); 'reverie run WORLD' makes one"),
        ("", ". is not a run folder (no config.json in it); 'reverie run WORLD' makes one"),
    ],
)
def test_what_is_nothing_of_the_kind(name: str, message: str, coming_with: Path) -> None:
    with pytest.raises(ReverieError) as error:
        open_trained(name)
    assert str(error.value) == message


def test_where_none_comes_with_reverie_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(opening, "SHIPPED", tmp_path / "pretrained")
    with pytest.raises(ReverieError) as error:
        reverie.load("doom")
    assert str(error.value) == (
        "no run folder doom here, and no agent 'doom' comes with reverie 0.1.0 (none does yet); "
        "'reverie run doom' makes one, named by its run folder, runs/doom-quick"
    )


@pytest.mark.parametrize("name", opening.shipped())
def test_every_agent_that_comes_with_reverie_is_whole(name: str) -> None:
    trained = open_trained(SHIPPED / name)
    card = trained.card
    assert card is not None
    assert card.name == name
    assert card.scores["agent"].mean > card.scores["random"].mean
    assert card.scores["agent"].episodes >= 100
    assert trained.agent().controller.parameter_count == card.parameters["controller"]
    assert len(trained.starts) == card.starts <= 1000
    assert sum(file.stat().st_size for file in (SHIPPED / name).iterdir()) < 15e6
