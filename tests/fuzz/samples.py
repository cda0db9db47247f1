"""One small file of every kind that Reverie reads, as a run folder and an export have them; nothing is trained."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np

from reverie.agents.card import TENSOR_FILES, Card, write_card
from reverie.controller.file import save_controller
from reverie.controller.model import Controller
from reverie.dream.starts import Starts, save_starts
from reverie.episodes.episode import Episode
from reverie.episodes.store import Store
from reverie.evaluation.score import Score
from reverie.files.atomic import sha256, write_json
from reverie.files.checkpoint import Checkpoint, save_checkpoint
from reverie.files.metrics import MetricsLog
from reverie.files.training import pack
from reverie.files.weights import save_weights
from reverie.learning.cma import CMAES
from reverie.memory.config import MemoryConfig
from reverie.memory.model import MDNRNN
from reverie.recipe.presets import make_experiment
from reverie.runs.rounds import FRESH_FILE
from reverie.runs.run_folder import COUNTS, SELECTION, create_run
from reverie.settings import with_changes
from reverie.vision.latents import LatentEntry, LatentEpisode, Part, part_path, write_part
from reverie.worlds.tiny import TINY

RUN, EXPORT, PHASE = "run", "export", "1-cmaes-dream"
STEPS = (40, 33, 5)  # of the store's episodes: two chunks of frames, two, one
EXPERIMENT = with_changes(make_experiment("tiny", "tiny"), ["--collect.episodes", str(len(STEPS))])
ROUNDS, BY_STEPS = (with_changes(EXPERIMENT, words) for words in (["--rounds.count", "1"], ["--collect.steps", "9"]))
MEMORY = MemoryConfig(latent_size=4, action_size=1, hidden_size=3, mixtures=2, done_head=True, reward_head=True)
SHAPE = Controller(EXPERIMENT.controller, 7, TINY.actions)


def make_samples(folder: Path) -> None:
    """Fill `folder` with `run/` and `export/`."""
    rng = np.random.default_rng(0)
    run = create_run(folder / RUN, EXPERIMENT).path
    write_json(run / "timings.json", {"collect": 1.5, "vision": 20.25})
    write_json(run / "memory" / FRESH_FILE, {"mixture": 1.25, "done": 0.5})
    _write_store(run / "rollouts", rng)
    _write_latents(run, rng)
    _write_training(run, rng)
    _write_search(run / "controller")
    write_json(run / SELECTION, {"chosen": 0, "rounds": {}})
    write_json(run / "rollouts" / COUNTS, {"0": len(STEPS)})
    for name, seed in (("agent", 0), ("random", 1)):
        write_json(run / "scores" / f"{name}.json", Score.of(rng.normal(size=5), "tiny", seed).as_dict())
    _write_export(folder / EXPORT, rng)


def episode(steps: int, rng: np.random.Generator) -> Episode:
    """An episode whose frames hardly compress, in part."""
    frames = np.zeros((steps + 1, 64, 64, 3), np.uint8)
    frames[:, :8, :8] = rng.integers(256, size=(steps + 1, 8, 8, 3))
    return Episode(frames, rng.random((steps, 1), np.float32), rng.random(steps, np.float32), terminated=steps == 5)


def _write_store(folder: Path, rng: np.random.Generator) -> None:
    store = Store(folder)
    for index, steps in enumerate(STEPS):
        store.append(index, episode(steps, rng), seed=100 + index, policy="held")


def _write_latents(run: Path, rng: np.random.Generator) -> None:
    listed = [
        LatentEntry(entry.index, entry.steps, entry.total_reward, entry.terminated, entry.sha256)
        for entry in Store(run / "rollouts").entries
    ]
    for number, entries in enumerate((listed[:2], listed[2:])):
        part = Part("f" * 64, tuple(entries))
        write_part(part_path(run / "latents", number), part, [_latent(entry, rng) for entry in entries])


def _latent(entry: LatentEntry, rng: np.random.Generator) -> LatentEpisode:
    steps = entry.steps
    mu, logvar = rng.normal(size=(2, steps + 1, 4)).astype(np.float16)
    actions, rewards = rng.random((steps, 1), np.float32), rng.random(steps, np.float32)
    return LatentEpisode(mu, logvar, actions, rewards, entry.terminated)


def _write_training(run: Path, rng: np.random.Generator) -> None:
    """Two checkpoints of something, and M's."""
    weights = {"model.a": rng.random((3, 4), np.float32), "model.b": rng.random(2, np.float32)}
    for step in (4, 6):
        save_checkpoint(run / "vision", Checkpoint(step, weights, {"latent_size": 4, "seed": 0}))
    arrays = pack(MDNRNN(MEMORY, 0)) | {f"state.{name}": np.zeros((2, 3), np.float32) for name in "hc"}
    save_checkpoint(run / "memory", Checkpoint(3, arrays, asdict(MEMORY)))
    with MetricsLog(run / "vision" / "metrics.jsonl", -1) as log:
        for step in range(1, 7):
            log.append(step=step, loss=1 / step, frames_per_second=1e3)


def _write_search(folder: Path) -> None:
    search = CMAES(SHAPE.parameter_count, 6, 0.1, seed=0)
    search.tell(-np.square(search.ask()).sum(1))
    arrays, state = search.to_arrays()
    best = search.mean
    record = {
        "search": state,
        "steps": 60,
        "best": {"score": 1.5, "generation": 1},
        "settings": {"seed": 0, "parameters": search.size},
    }
    named = {f"search.{name}": array for name, array in arrays.items()} | {"best": best}
    save_checkpoint(folder / PHASE, Checkpoint(1, named, record))
    save_controller(folder / "best.safetensors", SHAPE, best)


def _write_export(folder: Path, rng: np.random.Generator) -> None:
    save_weights(folder / "vision.safetensors", {"model.a": rng.random((3, 4), np.float32)}, {"latent_size": 4})
    save_weights(folder / "memory.safetensors", pack(MDNRNN(MEMORY, 1)), asdict(MEMORY))
    save_controller(folder / "controller.safetensors", SHAPE, rng.normal(size=SHAPE.parameter_count))
    save_starts(folder / "starts.safetensors", Starts(*rng.normal(size=(2, 5, 4)).astype(np.float32)))
    card = Card(
        name="follow",
        made="2026-01-01",
        reverie="0.1.0",
        command="reverie run tiny",
        experiment=EXPERIMENT,
        parameters={"vision": 12, "memory": 100, "controller": 8},
        starts=5,
        scores={"agent": Score.of([1.0, 2.0], "tiny", 0)},
        real_steps=78,
        seconds={"collect": 1.5},
        versions={"numpy": "2"},
        sha256={name: sha256(folder / name) for name in TENSOR_FILES},
    )
    write_card(folder, card)
