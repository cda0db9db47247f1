"""`reverie export`: the agent of a finished run in a folder of its own, small enough to pass on."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

import reverie
from reverie.agents.card import CARD, MODEL_CARD, TENSOR_FILES, Card, parts_in, write_card
from reverie.agents.model_card import model_card
from reverie.agents.trained import Trained, open_export
from reverie.controller.file import save_controller
from reverie.dream.starts import save_starts
from reverie.errors import ReverieError
from reverie.files.atomic import cannot_write, is_running, sha256, sync_folder, write_bytes
from reverie.files.training import pack
from reverie.files.weights import save_weights
from reverie.recipe.listing import command_of
from reverie.runs.gather import real_steps
from reverie.runs.opening import collected, trained_in
from reverie.runs.run_folder import RunFolder
from reverie.runs.scoring import read_scores
from reverie.vision.encode import decode_frames


def export_run(run: RunFolder, folder: Path) -> Trained:
    """Write the agent of `run` to `folder`, read it back, and return it as read.

    The folder appears under its name when it is whole; an export that is there already is replaced then, anything
    else is refused. Raises ReverieError also where the run is not finished.
    """
    folder = folder.resolve()
    _require_free(folder)
    trained = trained_in(run.chosen)
    with _made_whole(folder) as unfinished:
        _write_tensors(trained, unfinished)
        card = _card(run, trained, folder.name, unfinished)
        write_bytes(unfinished / MODEL_CARD, model_card(card).encode())
        write_card(unfinished, card)
        try_out(open_export(unfinished))
    return open_export(folder)


def _write_tensors(trained: Trained, folder: Path) -> None:
    parts = parts_in(folder)
    save_weights(parts.vision, pack(trained.vision), {"latent_size": trained.vision.latent_size})
    save_weights(parts.memory, pack(trained.memory), asdict(trained.memory.config))
    save_controller(parts.controller, trained.controller, trained.params)
    save_starts(parts.starts, trained.starts)


def _card(run: RunFolder, trained: Trained, name: str, folder: Path) -> Card:
    store, scores = collected(run), read_scores(run)
    command = command_of(run.experiment)
    if not {"agent", "random"} <= scores.keys():
        raise ReverieError(f"{run.path} has no scores to put on a card yet; finish the run: {command}")
    return Card(
        name=name,
        made=datetime.now(UTC).date().isoformat(),
        reverie=reverie.__version__,
        command=command,
        experiment=run.experiment,
        parameters={
            "vision": sum(weight.numel() for weight in trained.vision.parameters()),
            "memory": sum(weight.numel() for weight in trained.memory.parameters()),
            "controller": len(trained.params),
        },
        starts=len(trained.starts),
        scores=scores,
        real_steps=real_steps(run, store),
        seconds={stage: round(seconds, 1) for stage, seconds in run.timings.items()},
        versions=run.versions,
        sha256={file: sha256(folder / file) for file in TENSOR_FILES},
    )


def try_out(trained: Trained) -> None:
    """Refuse files that do not give an agent back: it must see where dreams start, and act."""
    agent, frames = trained.agent(), decode_frames(trained.vision, torch.from_numpy(trained.starts.mu[:1]))
    actions, _ = agent.act(agent.initial(1), frames, np.zeros((1, trained.vision.latent_size), np.float32))
    if not np.isfinite(actions).all():
        raise ReverieError(f"the exported agent acts with {actions}, expected finite numbers; train it again")


def _require_free(folder: Path) -> None:
    ours = {CARD, MODEL_CARD, *TENSOR_FILES}
    if folder.exists() and not (folder.is_dir() and {file.name for file in folder.iterdir()} <= ours):
        raise ReverieError(f"{folder} exists and is not an export; choose another folder")


@contextlib.contextmanager
def _made_whole(folder: Path) -> Iterator[Path]:
    """A new folder to fill, which takes the place of `folder` where nothing was raised, and else is removed."""
    tidy(folder)
    unfinished, replaced = (folder.with_name(f".{folder.name}-{os.getpid()}-{what}.tmp") for what in ("new", "old"))
    try:
        yield unfinished
        _put(unfinished, folder, replaced)
    except OSError as error:
        raise cannot_write(folder, error) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def tidy(folder: Path) -> None:
    """Remove what killed exports to `folder` left beside it; one that had made room for a new one comes back first."""
    left = re.compile(rf"\.{re.escape(folder.name)}-(\d+)-(new|old)\.tmp")
    for path in sorted(folder.parent.glob(".*.tmp")):
        match = left.fullmatch(path.name)
        if match and (int(match[1]) == os.getpid() or not is_running(int(match[1]))):
            if match[2] == "old" and not folder.exists():
                path.rename(folder)
            else:
                shutil.rmtree(path, ignore_errors=True)


def _put(new: Path, folder: Path, replaced: Path) -> None:
    """Rename `new` to `folder`; what is there stays until the new one has its place."""
    if folder.exists():
        folder.rename(replaced)
    try:
        new.rename(folder)
    except BaseException:
        if replaced.exists():
            replaced.rename(folder)
        raise
    sync_folder(folder.parent)
    shutil.rmtree(replaced, ignore_errors=True)
