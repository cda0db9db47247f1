"""A run that begins at what is there: weights (`--from pretrained`, or NAME, or RUN), episodes (`--data minari:NAME`).

V and M have to fit. C is tiny: where the run asks for one of another shape, it begins anew on that V and M.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reverie.agents.trained import Trained
from reverie.errors import ReverieError
from reverie.progress import announce
from reverie.recipe.experiment import Experiment
from reverie.runs.opening import open_shipped, open_trained, trained_in
from reverie.runs.run_folder import RunFolder
from reverie.settings import differences, to_json
from reverie.worlds.registry import world_spec

if TYPE_CHECKING:
    import numpy as np

MINARI = "minari:"
PRETRAINED = "pretrained"  # the agent that comes with Reverie under the name of the run's world

# the settings that the weights' shapes depend on
SIZES = {
    "vision": ("latent_size", "centred"),
    "memory": (
        "latent_size",
        "action_size",
        "hidden_size",
        "mixtures",
        "restart_input",
        "done_head",
        "reward_head",
        "action_head",
        "residual",
        "reward_bins",
    ),
}
SHAPE = ("inputs", "hidden_size", "bias", "categorical")  # of C, which begins anew where it has another
GROWS = ("survival_head",)  # of M: where the weights have another, that head begins anew and the rest is taken over
MORE = ("restart_input", "done_head", "reward_head", "action_head")  # of M: a run that asks for none can have them


def starting_from(experiment: Experiment, source: str) -> Experiment:
    """The experiment whose V, M and C begin at the weights of `source`: "pretrained", or as `open_trained` takes it.
    C begins anew where the experiment asks for another shape of it.

    Whether M's first cell is a clock is not the experiment's to say then, but the weights'. What M predicts there
    beyond what the experiment asks for, it goes on predicting.
    Raises: ReverieError where there are none, or they do not fit the experiment's sizes (both are named).
    """
    start = _open(source, experiment.world)
    there = start.experiment.memory
    more: dict[str, Any] = {name: True for name in MORE if getattr(there, name)}
    experiment = replace(experiment, memory=replace(experiment.memory, clock=there.clock, **more))
    misfits = list(differences(_sizes(start.experiment, SIZES), _sizes(experiment, SIZES)))
    misfits += differences(asdict(start.spec.actions), asdict(world_spec(experiment.world).actions), "actions.")
    if misfits:
        raise ReverieError(
            f"the weights of {source} do not fit this run ({'; '.join(misfits)}); "
            "set the run's sizes to those, or begin at other weights"
        )
    asked = experiment.memory.survival_head
    if "survival" in experiment.controller.inputs and not experiment.memory.updates and there.survival_head != asked:
        raise ReverieError(
            f"memory.updates is 0, and C is to see a survival head of {asked}, which the M of {source} has not learned "
            f"(it has {there.survival_head}); let M learn, or set memory.survival_head to that"
        )
    return replace(experiment, start_from=source, start_digest=start.digest())


def start_of(run: RunFolder, stage: Path) -> Trained | None:
    """The agent that V, M and C begin this round at: the last round's, or the one that `--from` gave the run.

    None where they begin anew, and where the stage that keeps the folder `stage` has a checkpoint to go on from.
    Raises: ReverieError where the weights are not those that the run was made with.
    """
    if any(stage.glob("step-*.json")):
        return None
    if run.round:
        return trained_in(run.at(run.round - 1))
    experiment = run.experiment
    if experiment.start_from is None:
        return None
    start = _open(experiment.start_from, experiment.world)
    if start.digest() != experiment.start_digest:
        raise ReverieError(
            f"{run.path} was made to begin at the weights of {experiment.start_from}, which have changed since; "
            "restore them, or choose another run folder"
        )
    return start


def start_params(run: RunFolder) -> np.ndarray | None:
    """C's parameters that this round begins at; None where it begins anew, and where it has a checkpoint to go on from.

    Says so where it begins anew because that of `--from` has another shape. Raises as `start_of`.
    """
    start = start_of(run, run.phase_folders[0] if run.phases else run.controller)
    if start is None:
        return None
    there, asked = (_sizes(experiment, {"controller": SHAPE}) for experiment in (start.experiment, run.experiment))
    others = list(differences(there, asked))
    if others:
        announce(f"C begins anew: that of {start.path} has another shape ({'; '.join(others)})")
        return None
    return start.params


def _open(source: str, world: str) -> Trained:
    return open_shipped(world) if source == PRETRAINED else open_trained(source)


def _sizes(experiment: Experiment, of: Mapping[str, Sequence[str]]) -> Mapping[str, Any]:
    settings = to_json(experiment)
    return {section: {name: settings[section][name] for name in names} for section, names in of.items()}


def learning_from(experiment: Experiment, source: str) -> Experiment:
    """The experiment whose first pass takes the episodes of `source` in place of playing the world."""
    from reverie.episodes.minari_data import minari_size

    episodes, digest = minari_size(minari_name(source))
    collect = replace(experiment.collect, episodes=episodes, steps=0)
    return replace(experiment, collect=collect, data=source, data_digest=digest)


def take_in(run: RunFolder) -> None:
    """Fill the run's store with the episodes of its data; raises ReverieError where they have changed since."""
    from reverie.episodes.minari_data import import_minari, minari_size
    from reverie.episodes.store import Store

    assert run.experiment.data is not None
    name = minari_name(run.experiment.data)
    if minari_size(name)[1] != run.experiment.data_digest:
        raise ReverieError(
            f"{run.path} was made to learn from {run.experiment.data}, which has changed since; "
            "restore it, or choose another run folder"
        )
    import_minari(name, Store(run.rollouts), world_spec(run.experiment.world))


def minari_name(source: str) -> str:
    """NAME of "minari:NAME"."""
    if not source.startswith(MINARI) or source == MINARI:
        raise ReverieError(f"--data is {source!r}; expected minari:NAME, a Minari data set on this machine")
    return source.removeprefix(MINARI)
