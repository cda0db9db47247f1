"""An export that is not as it was written is refused, by the name of the file and with what to do."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reverie.agents.card import CARD, FORMAT, RESTORE, TENSOR_FILES, read_card
from reverie.agents.trained import open_export
from reverie.errors import DamagedFileError, ReverieError
from reverie.files.atomic import sha256
from reverie.runs.verify import verify_run
from tests.runs.exports import Damage, with_card, with_weights
from tests.small_runs import copy_run, flip, replace


@pytest.fixture
def export(exported: Path, tmp_path: Path) -> Path:
    return copy_run(exported, tmp_path / "follow")


def test_the_card_comes_back_as_it_was_written(export: Path) -> None:
    card = read_card(export)
    content = json.loads((export / CARD).read_text())
    assert {**card.as_dict(), "digest": content["digest"]} == content
    assert content["format"] == FORMAT
    assert repr(card).startswith("Card(follow, tiny, made=20")
    assert card.sha256 == {name: sha256(export / name) for name in TENSOR_FILES}


def in_file(name: str, damage: Damage) -> Damage:
    return lambda folder: damage(folder / name)


def cut(file: Path) -> None:
    replace(file, file.read_bytes()[:-10])


def linked(file: Path) -> None:
    file.rename(file.with_suffix(".away"))
    file.symlink_to(file.with_suffix(".away"))


def swapped(folder: Path) -> None:
    shutil.copy(folder / "memory.safetensors", folder / "other")
    os.replace(folder / "other", folder / "vision.safetensors")


ALTERED = "is truncated or altered: card.json gives another SHA-256"
DAMAGES = [
    *[(in_file(name, flip), f"{{folder}}/{name} {ALTERED}") for name in TENSOR_FILES],
    *[(in_file(name, cut), f"{{folder}}/{name} {ALTERED}") for name in TENSOR_FILES],
    *[(in_file(name, Path.unlink), f"{{folder}}/{name} is missing") for name in TENSOR_FILES],
    (swapped, f"{{folder}}/vision.safetensors {ALTERED}"),
    (in_file(CARD, Path.unlink), "{folder}/card.json is missing"),
    (in_file(CARD, lambda file: replace(file, b"[]")), "{folder}/card.json holds a JSON list, expected an object"),
    (
        in_file(CARD, lambda file: replace(file, file.read_bytes().replace(b'"tiny"', b'"doom"'))),
        "{folder}/card.json was altered: its content does not match its digest",
    ),
    (
        with_card(lambda card: card.update(world="doom")),
        "{folder}/card.json is not the card of an agent (its parts contradict each other)",
    ),
    (
        with_card(lambda card: card["sha256"].pop("starts.safetensors")),
        "{folder}/card.json is not the card of an agent (its parts contradict each other)",
    ),
    (
        with_card(lambda card: card.update(real_steps="many")),
        "{folder}/card.json is not the card of an agent (its real_steps is 'many')",
    ),
    (with_card(lambda card: card.pop("command")), "{folder}/card.json is not the card of an agent ('command')"),
    (
        with_card(lambda card: card.update(scores=[1])),
        "{folder}/card.json is not the card of an agent ('list' object has no attribute 'items')",
    ),
]


@pytest.mark.parametrize(("damage", "fault"), DAMAGES, ids=range(len(DAMAGES)))
def test_an_export_that_is_damaged(damage: Damage, fault: str, export: Path) -> None:
    damage(export)
    with pytest.raises(DamagedFileError) as error:
        open_export(export)
    assert str(error.value) == f"{fault.format(folder=export)}; {RESTORE}"


@pytest.mark.parametrize("name", [CARD, "starts.safetensors"])
def test_links_of_a_model_hub_are_told_with_a_remedy_that_helps(name: str, export: Path, tmp_path: Path) -> None:
    linked(export / name)
    with pytest.raises(DamagedFileError) as error:
        open_export(export)
    assert str(error.value) == (
        f"{export / name} is a link, as in the cache of a model hub, expected a regular file; take a copy without "
        f"links: cp -rL {export} COPY"
    )
    shutil.copytree(export, tmp_path / "copy", symlinks=False)
    assert open_export(tmp_path / "copy").card is not None


def _sections(**changes: Any) -> Damage:
    def edit(card: dict[str, Any]) -> None:
        for section, change in changes.items():
            card["experiment"][section] = card["experiment"][section] | change

    return with_card(edit)


OTHERS = "it was made with other settings or by another version: use those, or another run folder"
CONTRADICTIONS = [
    (
        with_weights("vision.safetensors", lambda arrays: arrays.pop("model.mu.bias")),
        f"{{folder}}/vision.safetensors holds no model.mu.bias; {OTHERS}",
    ),
    (
        with_weights("vision.safetensors", lambda arrays: arrays.update({"model.mu.bias": np.zeros(9, np.float32)})),
        f"{{folder}}/vision.safetensors holds model.mu.bias as float32 (9,), expected float32 (8,); {OTHERS}",
    ),
    (
        with_weights("vision.safetensors", lambda arrays: None, settings='{"latent_size": "8"}'),
        "{folder}/vision.safetensors holds no V: its latent_size is '8'; restore it from a copy",
    ),
    (
        with_weights("vision.safetensors", lambda arrays: None, format="zip"),
        "{folder}/vision.safetensors has format 'zip', expected 'reverie-weights-1'; export it again",
    ),
    (
        with_weights("memory.safetensors", lambda arrays: None, settings='{"hidden_size": 9}'),
        f"{{folder}}/memory.safetensors holds model.input_weight as float32 (32, 10), "
        f"expected float32 (36, 35); {OTHERS}",
    ),
    (
        with_weights("controller.safetensors", lambda arrays: arrays.update(params=np.zeros(3))),
        "{folder}/controller.safetensors holds parameters of float64 (3,), expected float64 (17,); evolve it again",
    ),
    (
        with_weights("starts.safetensors", lambda arrays: arrays.pop("mu")),
        "{folder}/starts.safetensors does not hold the starts of dreams ('mu'); export it again",
    ),
    (
        _sections(controller={"bias": False}),
        "{folder}/controller.safetensors is no C for 'tiny' as {folder} has it; restore it from a copy",
    ),
]


@pytest.mark.parametrize(("damage", "message"), CONTRADICTIONS, ids=range(len(CONTRADICTIONS)))
def test_files_that_contradict_each_other_with_every_digest_right(damage: Damage, message: str, export: Path) -> None:
    damage(export)
    trained = open_export(export)
    with pytest.raises(DamagedFileError) as error:
        (trained.agent(), trained.starts)
    assert str(error.value) == message.format(folder=export)


def test_a_card_of_another_world(export: Path) -> None:
    def edit(card: dict[str, Any]) -> None:
        card["world"] = card["experiment"]["world"] = "carracing"

    with_card(edit)(export)
    with pytest.raises(DamagedFileError) as error:
        open_export(export).agent()
    assert str(error.value) == (
        f"{export}/controller.safetensors is no C for 'carracing' as {export} has it; restore it from a copy"
    )


def test_a_card_of_another_format(export: Path) -> None:
    with_card(lambda card: card.update(format="reverie-export-1", reverie="0.0.9"))(export)
    with pytest.raises(ReverieError) as error:
        open_export(export)
    assert str(error.value) == (
        f"{export}/card.json has format 'reverie-export-1', made by reverie 0.0.9; reverie 0.1.0 reads "
        "'reverie-export-2': use that version, or export the run again"
    )


def test_a_setting_that_is_no_more(export: Path) -> None:
    _sections(vision={"colour": 3})(export)
    with pytest.raises(ReverieError) as error:
        open_export(export)
    assert str(error.value).startswith(f"{export}/card.json: unknown setting 'vision.colour'; ")


def test_verify_names_every_file(export: Path) -> None:
    assert verify_run(export) == []
    flip(export / "vision.safetensors")
    (export / "starts.safetensors").unlink()
    found = [(problem.file, problem.problem, problem.remedy) for problem in verify_run(export)]
    assert found == [
        (f"{export}/vision.safetensors", ALTERED, RESTORE),
        (f"{export}/starts.safetensors", "is missing", RESTORE),
    ]
    replace(export / CARD, b"{")
    (problem,) = verify_run(export)
    assert (problem.file, problem.remedy) == (f"{export}/card.json", RESTORE)
