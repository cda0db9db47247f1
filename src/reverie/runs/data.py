"""A run that learns from episodes that are there: `reverie run WORLD --data minari:NAME`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from reverie.errors import ReverieError
from reverie.recipe.experiment import Experiment
from reverie.worlds.registry import world_spec

if TYPE_CHECKING:
    from reverie.runs.run_folder import RunFolder

MINARI = "minari:"


def learning_from(experiment: Experiment, source: str) -> Experiment:
    """The experiment whose first pass takes the episodes of `source` in place of playing the world."""
    from reverie.episodes.minari_data import minari_size

    episodes, digest = minari_size(minari_name(source))
    collect = replace(experiment.collect, episodes=episodes)
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
