"""The lab as a folder of static files: the page, the runtime, and for each run its graphs and data.

    index.html, *.js, style.css, runtime/    the page (`page/` in this package)
    lab.json                                 what there is
    a/ (and b/ with a second run)            *.onnx, data.bin (arrays end to end), episode-0.webp, ...

Nothing in it needs a server of ours, or any other address.
"""

from __future__ import annotations

import importlib.resources
import io
from collections.abc import Sequence
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import reverie
from reverie.errors import ReverieError
from reverie.evaluation.published import published
from reverie.files.atomic import sweep_all_temporary, write_bytes, write_json
from reverie.lab import graphs, noise, reference
from reverie.lab.latent_map import kl_per_dimension, latent_map
from reverie.lab.onnx_file import halved, to_onnx
from reverie.lab.source import LabAgent, LabEpisode, LabRun
from reverie.memory.config import DONE_WEIGHT
from reverie.memory.loss import surprise
from reverie.report.number_format import parameter_count
from reverie.worlds.registry import base_world

FORMAT = 1
FOLDERS = ("a", "b")
SHEET_COLUMNS = 32  # frames side by side in an episode's picture
CHECK_SEED, CHECK_STEPS = 7, 200
SHOWN_STARTS = 200
MARKER = "lab.json"

ACTION_LABELS = {"doom": ["move"], "carracing": ["steer", "gas", "brake"]}


def write_lab(folder: Path, sources: Sequence[LabRun]) -> None:
    """Write the page and the runs into `folder`, which is new, empty, or an earlier lab's."""
    check_folder(folder)
    sweep_all_temporary(folder)
    _copy_page(folder)
    runs = [_write_run(folder, place, source) for place, source in zip(FOLDERS, sources, strict=False)]
    write_json(folder / MARKER, {"format": FORMAT, "reverie": reverie.__version__, "runs": runs})


def check_folder(folder: Path) -> None:
    """Refuse a folder that holds anything but a lab, whole or half written."""
    if folder.exists() and (not folder.is_dir() or not all(map(_is_ours, folder.iterdir()))):
        raise ReverieError(f"{folder} exists and is not a lab; choose another folder for --export")


def _is_ours(file: Path) -> bool:
    page = {file.name for file in _page().iterdir()}
    return file.name in page | {MARKER} or file.name.partition("-")[0] in FOLDERS or file.suffix == ".tmp"


def _page() -> Traversable:
    return importlib.resources.files("reverie.lab") / "page"


def _copy_page(folder: Path) -> None:
    page = _page()
    for directory in (page, page / "runtime"):
        for file in directory.iterdir():
            if file.is_file():
                place = folder if directory is page else folder / "runtime"
                write_bytes(place / file.name, file.read_bytes())


def _write_run(folder: Path, place: str, source: LabRun) -> dict[str, Any]:
    """Write one run's files below `folder`/`place`; returns what lab.json says of it."""
    spec, config = source.spec, source.memory.config
    _write_graphs(folder / place, source)
    arrays = _Arrays()
    about = {
        "name": source.name,
        "folder": place,
        "world": spec.name,
        "title": published(spec.name).title,
        "pace": published(spec.name).frames_per_second,
        "reward": spec.reward,
        "max_steps": spec.steps_to_play(source.starts.longest),
        "repeat": spec.repeat,
        "temperature": source.dream.temperature,
        "termination": source.dream.termination,
        "done_weight": DONE_WEIGHT,
        "heads": {"done": config.done_head, "reward": config.reward_head},
        "latent_size": config.latent_size,
        "memory_size": config.hidden_size,
        "actions": _actions(source),
        "agents": [_agent(agent) for agent in source.agents],
        "parameters": {"V": parameter_count(source.vision), "M": parameter_count(source.memory)},
        "starts": _starts(arrays, source),
        "nats": arrays.add(kl_per_dimension(source.mu, source.logvar)),
        "map": _map(arrays, source),
        "episodes": [
            _episode(folder, f"{place}/episode-{number}.webp", arrays, source, episode)
            for number, episode in enumerate(source.episodes)
        ],
        "check": _check(arrays, source),
        "cheat": None if source.cheat is None else _write_run(folder, f"{place}-cheat", source.cheat),
    }
    write_bytes(folder / place / "data.bin", arrays.bytes())
    return about | {"bytes": _bytes_to_begin(folder, place)}


def _bytes_to_begin(folder: Path, place: str) -> int:
    """What the page fetches before the first dream: the runtime, this run's graphs and arrays."""
    files = [folder / "runtime" / "ort.wasm.gz", folder / place / "data.bin", *(folder / place).glob("*.onnx")]
    return sum(file.stat().st_size for file in files)


def _write_graphs(folder: Path, source: LabRun) -> None:
    write_bytes(folder / "encoder.onnx", halved(to_onnx(graphs.Encoder(source.vision))))
    write_bytes(folder / "decoder.onnx", halved(to_onnx(graphs.Decoder(source.vision))))
    write_bytes(folder / "memory.onnx", to_onnx(graphs.Dreamer(source.memory, source.spec.actions)))
    for agent in source.agents:
        actor = graphs.Actor(agent.controller, agent.params, source.memory)
        write_bytes(folder / f"{agent.key}.onnx", to_onnx(actor))


class _Arrays:
    """float32 arrays end to end, each known by where it lies: its first number and its shape."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._count = 0

    def add(self, array: np.ndarray) -> dict[str, Any]:
        """Where `array` will lie."""
        place = {"at": self._count, "shape": list(array.shape)}
        self._parts.append(np.ascontiguousarray(array, "<f4").tobytes())
        self._count += array.size
        return place

    def bytes(self) -> bytes:
        """The file."""
        return b"".join(self._parts)


def _actions(source: LabRun) -> dict[str, Any]:
    actions = source.spec.actions
    numbered = [f"action {part + 1}" for part in range(actions.size)]
    labels = ACTION_LABELS.get(base_world(source.spec.name), numbered)
    spans = [[span.start, span.stop, span.one_hot] for span in actions.spans]
    return {"kind": actions.kind, "size": actions.size, "labels": labels, "spans": spans}


def _agent(agent: LabAgent) -> dict[str, Any]:
    return {
        "key": agent.key,
        "label": agent.label,
        "temperature": agent.temperature,
        "scores": agent.scores,
        "parameters": agent.controller.parameter_count,
    }


def _starts(arrays: _Arrays, source: LabRun) -> dict[str, Any]:
    starts = source.starts
    chosen = np.linspace(0, len(starts) - 1, min(SHOWN_STARTS, len(starts))).round().astype(int)
    return {"mu": arrays.add(starts.mu[chosen]), "logvar": arrays.add(starts.logvar[chosen])}


def _map(arrays: _Arrays, source: LabRun) -> dict[str, Any]:
    flat = latent_map(source.mu)
    return {
        "mean": arrays.add(flat.mean),
        "axes": arrays.add(flat.axes),
        "points": arrays.add(flat.points),
        "latents": arrays.add(source.mu),
        "share": flat.share,
    }


def _episode(folder: Path, sheet: str, arrays: _Arrays, source: LabRun, episode: LabEpisode) -> dict[str, Any]:
    _write_sheet(folder / sheet, episode.frames)
    return {
        "label": episode.label,
        "steps": len(episode),
        "terminated": episode.terminated,
        "sheet": sheet,
        "columns": SHEET_COLUMNS,
        "mu": arrays.add(episode.mu),
        "actions": arrays.add(episode.actions),
        "rewards": arrays.add(episode.rewards),
        "surprise": arrays.add(surprise(source.memory, source.spec.actions, episode.as_latents())),
    }


def _write_sheet(path: Path, frames: np.ndarray) -> None:
    """Frames uint8 [n, 64, 64, 3], row by row in one lossless picture."""
    count, height, width, _ = frames.shape
    rows = -(-count // SHEET_COLUMNS)
    tiles = np.zeros((rows * SHEET_COLUMNS, height, width, 3), np.uint8)
    tiles[:count] = frames
    grid = tiles.reshape(rows, SHEET_COLUMNS, height, width, 3).swapaxes(1, 2)  # [rows, height, columns, width, 3]
    picture = Image.fromarray(grid.reshape(rows * height, SHEET_COLUMNS * width, 3))
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", lossless=True, quality=50, method=2)
    write_bytes(path, buffer.getvalue())


def _check(arrays: _Arrays, source: LabRun) -> dict[str, Any]:
    """A dream made here in PyTorch, for the page to dream again and compare."""
    actions, tau = source.spec.actions, source.dream.temperature
    actions_taken = reference.swaying_actions(actions, CHECK_STEPS)
    start = source.starts.mu[0]
    latents = reference.dream_latents(source.memory, actions, start, actions_taken, CHECK_SEED, tau)
    return {
        "seed": CHECK_SEED,
        "temperature": tau,
        "actions": arrays.add(actions_taken),
        "latents": arrays.add(latents),
        "noise": arrays.add(noise.normal(CHECK_SEED, noise.SPREAD, 0, source.memory.config.latent_size)),
    }
