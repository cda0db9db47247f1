"""Every way in which a file gets into Reverie, and what may come of a file that was changed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reverie.agents.card import read_card
from reverie.agents.trained import open_export
from reverie.controller.file import load_controller
from reverie.dream.starts import load_starts
from reverie.episodes.store import Store
from reverie.evaluation.score import Score
from reverie.files.atomic import read_json
from reverie.files.checkpoint import latest_checkpoint
from reverie.files.metrics import MetricsLog, read_metrics
from reverie.files.weights import read_weights
from reverie.memory.train import load_memory
from reverie.recipe.experiment import Experiment
from reverie.reproduction.context import RowFolder
from reverie.runs.rounds import rounds_of
from reverie.runs.run_folder import COUNTS, SELECTION, RunFolder, open_run
from reverie.runs.scoring import read_scores
from reverie.runs.verify import verify_run
from reverie.vision.latents import Latents
from tests.fuzz.samples import BY_STEPS, EXPORT, PHASE, ROUNDS, RUN, SHAPE


@dataclass(frozen=True)
class Reader:
    """One reader and one file that it reads.

    file: below the samples' folder; the one that is changed
    read: what the file says, given the samples' folder
    sealed: a checksum covers all of the file, so that what is read is what was written, or nothing is
    optional: without the file there is less, and nothing wrong: an earlier checkpoint, say
    lone: nothing beside the file says which it is, so that another whole one of its kind may stand in its place
    """

    name: str
    file: str
    read: Callable[[Path], Any]
    sealed: bool = True
    optional: bool = False
    lone: bool = False


def _checkpoints(stage: str) -> Callable[[Path], Any]:
    return lambda folder: latest_checkpoint(folder / RUN / stage)


def _search(folder: Path) -> Any:
    """C's search as a run that goes on has it."""
    from reverie.learning.cmaes import resume

    settings = {"seed": 0, "parameters": SHAPE.parameter_count}
    search, best, steps = resume(folder / RUN / "controller" / PHASE, settings)
    return search and (search.to_arrays(), search.ask()), best, steps


def _episodes(folder: Path) -> dict[int, Any]:
    """Each episode that the manifest lists, with its entry."""
    store = Store(folder / RUN / "rollouts")
    return {entry.index: (entry, store.read(entry.index)) for entry in store.entries}


def _frames(folder: Path) -> list[np.ndarray]:
    store = Store(folder / RUN / "rollouts")
    return [store.frames(0, 30, 41), store.frames(0, 0, 2)]


def _latents(folder: Path) -> Any:
    latents = Latents(folder / RUN / "latents")
    return latents.entries, [latents.episode(entry.index) for entry in latents.entries]


def _continued_metrics(folder: Path) -> Any:
    """The log as a resumed stage continues it: written anew, then read."""
    file = folder / RUN / "vision" / "metrics.jsonl"
    MetricsLog(file, 4).close()
    return read_metrics(file)


def _run(folder: Path) -> Any:
    return open_run(folder / RUN)


def _as(folder: Path, experiment: Experiment, round: int = 0) -> RunFolder:
    """The run as if it were that experiment's."""
    return RunFolder(folder / RUN, experiment, round)


def _verified(folder: Path) -> Any:
    """What `reverie verify` says of the run; a problem is as good as an error."""
    problems = verify_run(folder / RUN)
    if problems:
        raise Reported(*(f"{problem.file} {problem.problem}; {problem.remedy}" for problem in problems))
    return None


class Reported(Exception):
    """Problems that `verify` found, a message each."""


READERS = [
    Reader("checkpoint's record", f"{RUN}/vision/step-00000006.json", _checkpoints("vision"), optional=True),
    Reader("checkpoint's arrays", f"{RUN}/vision/step-00000006.safetensors", _checkpoints("vision")),
    Reader("search's record", f"{RUN}/controller/{PHASE}/step-00000001.json", _search, optional=True),
    Reader("search's arrays", f"{RUN}/controller/{PHASE}/step-00000001.safetensors", _search),
    Reader("M's record", f"{RUN}/memory/step-00000003.json", lambda at: _weights(load_memory(at / RUN / "memory"))),
    Reader("C", f"{RUN}/controller/best.safetensors", lambda at: _of_c(at / RUN / "controller"), lone=True),
    Reader("manifest", f"{RUN}/rollouts/manifest.jsonl", _episodes, sealed=False),
    Reader("episode", f"{RUN}/rollouts/episodes/000000.safetensors", _episodes),
    Reader("episode's frames", f"{RUN}/rollouts/episodes/000000.safetensors", _frames),
    Reader("latents", f"{RUN}/latents/part-00000.safetensors", _latents),
    Reader("config", f"{RUN}/config.json", _run),
    Reader("metrics", f"{RUN}/vision/metrics.jsonl", _continued_metrics, sealed=False),
    Reader("timings", f"{RUN}/timings.json", lambda at: _run(at).timings, sealed=False),
    Reader("versions", f"{RUN}/versions.json", lambda at: _run(at).versions, sealed=False),
    Reader("selection", f"{RUN}/{SELECTION}", lambda at: _as(at, ROUNDS, 1).chosen.round, sealed=False, optional=True),
    Reader("counts", f"{RUN}/rollouts/{COUNTS}", lambda at: _as(at, BY_STEPS).episodes_by(0), sealed=False),
    Reader("score", f"{RUN}/scores/agent.json", lambda at: read_scores(_run(at)), sealed=False),
    Reader("fresh losses", f"{RUN}/memory/fresh.json", lambda at: rounds_of(_run(at)), sealed=False),
    Reader("row's timings", f"{RUN}/timings.json", lambda at: RowFolder(at / RUN).seconds, sealed=False),
    Reader("row's score", f"{RUN}/scores/random.json", lambda at: _score(at / RUN / "scores"), sealed=False),
    Reader(
        "weights",
        f"{EXPORT}/memory.safetensors",
        lambda at: read_weights(at / EXPORT / "memory.safetensors"),
        lone=True,
    ),
    Reader(
        "M",
        f"{EXPORT}/memory.safetensors",
        lambda at: _weights(load_memory(at / EXPORT / "memory.safetensors")),
        lone=True,
    ),
    Reader(
        "starts", f"{EXPORT}/starts.safetensors", lambda at: load_starts(at / EXPORT / "starts.safetensors"), lone=True
    ),
    Reader("card", f"{EXPORT}/card.json", lambda at: read_card(at / EXPORT)),
    Reader("export", f"{EXPORT}/controller.safetensors", lambda at: open_export(at / EXPORT).params),
    Reader("verify: checkpoint", f"{RUN}/vision/step-00000004.json", _verified, optional=True),
    Reader("verify: latents", f"{RUN}/latents/part-00001.safetensors", _verified),
    Reader("verify: episode", f"{RUN}/rollouts/episodes/000002.safetensors", _verified),
    Reader("verify: manifest", f"{RUN}/rollouts/manifest.jsonl", _verified, sealed=False),
    Reader("verify: config", f"{RUN}/config.json", _verified),
    Reader("verify: C", f"{RUN}/controller/best.safetensors", _verified, optional=True, lone=True),
]


def is_as_written(found: Any, original: Any) -> bool:
    """Whether two readings say the same; of a manifest, whether every episode in it is as it was."""
    if (
        isinstance(found, dict)
        and isinstance(original, dict)
        and original
        and all(isinstance(k, int) for k in original)
    ):
        return all(index in original and digest(value) == digest(original[index]) for index, value in found.items())
    return digest(found) == digest(original)


def digest(value: Any) -> str:
    """Of everything that a reading holds."""
    return hashlib.sha256(_plain(value).encode()).hexdigest()


def _plain(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape} {hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()}"
    if is_dataclass(value):
        return f"{type(value).__name__} {[_plain(getattr(value, field.name)) for field in fields(value)]}"
    if isinstance(value, Mapping):
        return str(sorted((str(key), _plain(item)) for key, item in value.items()))
    if isinstance(value, list | tuple):
        return str([_plain(item) for item in value])
    return repr(value)


def _weights(model: Any) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


def _of_c(folder: Path) -> Any:
    controller, params = load_controller(folder / "best.safetensors")
    return repr(controller), controller.config, controller.actions, params


def _score(folder: Path) -> Score:
    file = folder / "random.json"
    return Score.from_dict(read_json(file), str(file))
