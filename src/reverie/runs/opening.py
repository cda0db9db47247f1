"""Opening what a run has made so far, and the one way from what a user names to a trained agent: `open_trained`."""

from __future__ import annotations

import difflib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import reverie
from reverie.agents.card import CARD, RESTORE, Parts
from reverie.agents.trained import Trained, open_export
from reverie.errors import ReverieError
from reverie.runs.run_folder import CONFIG, RunFolder, open_run
from reverie.worlds.names import world_names

if TYPE_CHECKING:
    import numpy as np

    from reverie.agent import Agent
    from reverie.episodes.store import Store
    from reverie.feature_env import Place
    from reverie.play.env_spec import EnvSpec
    from reverie.play.loop import Limits
    from reverie.vision.latents import Latents

SHIPPED = Path(reverie.__file__).parent / "pretrained"
REINSTALL = "install reverie again (pip install --force-reinstall --no-deps reverie)"


def collected(run: RunFolder) -> Store:
    """The store, with all of its episodes: what V learns must not depend on when collecting was interrupted."""
    from reverie.episodes.store import Store

    store = Store(run.rollouts)
    done, wanted = len(store.entries), run.episodes_by(run.round)
    if done < wanted:
        raise ReverieError(f"{run.rollouts} has {done} of {wanted} episodes; run `reverie collect {run.path}` first")
    return store


def encoded(run: RunFolder) -> Latents:
    """The latents, of every episode in the store (where the store is still there)."""
    require_trained(run, "vision")
    latents = whole_latents(run)
    if latents is None:
        raise ReverieError(f"{run.latents} holds no latents; run `reverie vision {run.path}` first")
    return latents


def seen_by(run: RunFolder) -> int | None:
    """The episodes that the round's latents are of: those so far where each round has a V of its own, else all."""
    return run.episodes_by(run.round) if run.experiment.rounds.vision_updates else None


def whole_latents(run: RunFolder) -> Latents | None:
    """The latents, None before the first; refuses those that lack episodes of the store."""
    from reverie.episodes.store import Store
    from reverie.vision.latents import Latents

    if not any(run.latents.glob("part-*.safetensors")):
        return None
    latents = Latents(run.latents)
    seen = {entry.sha256 for entry in latents.entries}
    entries = collected(run).entries if Store(run.rollouts).entries else ()
    episodes = [entry.sha256 for entry in entries[: seen_by(run)]]
    encoded = sum(episode in seen for episode in episodes)
    if encoded < len(episodes):
        raise ReverieError(
            f"{run.latents} has {encoded} of {len(episodes)} episodes; run `reverie vision {run.path}` first"
        )
    return latents


def require_trained(run: RunFolder, stage: Literal["vision", "memory"]) -> None:
    """Refuse to go on from a V or an M that is missing or has updates left to do."""
    folder, wanted = {
        "vision": (run.vision, run.plan.vision.updates),
        "memory": (run.memory, run.plan.memory.updates),
    }[stage]
    _require_updates(run, stage, folder, wanted)


def _require_updates(run: RunFolder, stage: str, folder: Path, wanted: int) -> None:
    from reverie.files.checkpoint import latest_checkpoint

    checkpoint = latest_checkpoint(folder)
    done = 0 if checkpoint is None else checkpoint.step
    if checkpoint is None or done < wanted:
        raise ReverieError(f"{folder} has {done} of {wanted} updates; run `reverie {stage} {run.path}` first")


def env_of(run: RunFolder, place: Place, learns: bool = False, limits: Limits | None = None) -> EnvSpec:
    """Where the run's C is tried; learns: C learns there, so that all settings of the dream hold."""
    env = trained_in(run).env(place)
    require_trained(run, "vision" if env.memory is None else "memory")
    if limits is not None:
        env = replace(env, limits=limits)
    if not learns or run.experiment.dream.is_plain:
        return env
    for folder in run.members:
        _require_updates(run, "memory", folder, run.plan.memory.updates)
    return replace(env, learns=True, members=run.members)


def longest_of(run: RunFolder) -> int | None:
    """Steps of the longest episode that the run has collected by this round; None where it has none."""
    from reverie.episodes.manifest import MOST_EPISODES
    from reverie.episodes.store import Store

    last = run.episodes_by(run.round, MOST_EPISODES)
    return max((entry.steps for entry in Store(run.rollouts).entries if entry.index < last), default=None)


def steps_to_cut(run: RunFolder) -> int | None:
    """Steps after which a run cuts the real episodes by which it trains, scores and films C; None: the world's cap."""
    from reverie.worlds.registry import world_spec

    spec = world_spec(run.experiment.world)
    return spec.cut(spec.steps_to_play(longest_of(run)))


def trained_in(run: RunFolder) -> Trained:
    """V, M and C as the run's stages left them."""
    from reverie.learning.phases import BEST_FILE

    return Trained(run.path, run.experiment, Parts(run.vision, run.memory, run.controller / BEST_FILE, run.latents))


def load_params(run: RunFolder) -> np.ndarray:
    """The parameters of the best C so far, float64 [n]."""
    return trained_in(run).params


def load_agent(run: RunFolder) -> Agent:
    """The run's agent as its stages left it: V, M and the best C so far."""
    return trained_in(run).agent()


def shipped() -> list[str]:
    """The names of the agents that come with this installation."""
    return sorted(card.parent.name for card in SHIPPED.glob(f"*/{CARD}"))


def open_trained(place: str | Path) -> Trained:
    """The agent of a run folder or an export at `place`, else the one that ships under this name.

    Raises: ReverieError where there is neither; DamagedFileError where a file is not as it was written.
    """
    folder = export_at(place)
    if folder is not None:
        return open_export(folder, remedy_for(folder))
    path = Path(place)
    if path.exists() or len(path.parts) != 1:
        return trained_in(open_run(path).chosen)
    raise ReverieError(f"no run folder {path} here, and {_unknown(str(path))}")


def open_shipped(name: str) -> Trained:
    """The agent that comes with Reverie under this name; raises as `open_trained` does."""
    if name not in shipped():
        raise ReverieError(_unknown(name))
    return open_export(SHIPPED / name, REINSTALL)


def export_at(place: str | Path) -> Path | None:
    """The folder of the export at `place`, or of the shipped agent of that name; None for anything else.

    A run folder or an export at `place` wins over a name, any other folder does not.
    """
    path = Path(place)
    if (path / CARD).is_file():
        return path
    return SHIPPED / path if str(path) in shipped() and not (path / CONFIG).is_file() else None


def remedy_for(folder: Path) -> str:
    """What to do about a damaged file of an export in `folder`."""
    return REINSTALL if folder.parent == SHIPPED else RESTORE


def _unknown(name: str) -> str:
    names = shipped()
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    world = name if name in world_names() else "WORLD"
    return (
        f"no agent {name!r} comes with reverie {reverie.__version__} "
        f"({', '.join(names) if names else 'none does yet'}); {hint}'reverie run {world}' makes one, "
        f"named by its run folder, runs/{world}-quick"
    )
