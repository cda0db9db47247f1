"""A trained agent as its files have it, whether a run folder keeps them or an export."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from reverie.agents.card import RESTORE, Card, Parts, faults, parts_in, read_card
from reverie.errors import DamagedFileError, ReverieError

if TYPE_CHECKING:
    import numpy as np

    from reverie.agent import Agent
    from reverie.controller.model import Controller
    from reverie.dream.config import DreamConfig
    from reverie.dream.starts import Starts
    from reverie.feature_env import FeatureVectorEnv, Place
    from reverie.memory.model import MDNRNN
    from reverie.play.env_spec import EnvSpec
    from reverie.recipe.experiment import Experiment
    from reverie.vision.model import ConvVAE
    from reverie.worlds.spec import WorldSpec


@dataclass(frozen=True)
class Trained:
    """V, M and C, each read from its files when it is first asked for.

    path: the run folder, or that of the export
    card: what an export says of itself; None of a run
    """

    path: Path
    experiment: Experiment
    parts: Parts
    card: Card | None = None

    @cached_property
    def spec(self) -> WorldSpec:
        """The world that the agent was trained for."""
        from reverie.worlds.registry import world_spec

        return world_spec(self.experiment.world)

    @cached_property
    def vision(self) -> ConvVAE:
        """V, float32, on the CPU."""
        from reverie.vision.train import load_vision

        return load_vision(self.parts.vision)

    @cached_property
    def memory(self) -> MDNRNN:
        """M, float32, on the CPU."""
        from reverie.memory.train import load_memory

        return load_memory(self.parts.memory)

    @cached_property
    def starts(self) -> Starts:
        """The first frames that dreams begin at."""
        from reverie.dream.starts import load_starts

        return load_starts(self.parts.starts)

    @property
    def controller(self) -> Controller:
        """The shape of C."""
        return self._controller[0]

    @property
    def params(self) -> np.ndarray:
        """The parameters of C, float64 [n]."""
        return self._controller[1]

    def digest(self) -> str:
        """Of the weights of V, M and C, in 16 hexadecimal digits."""
        from reverie.files.arrays import digest_of_arrays
        from reverie.files.training import pack

        models = {"V": pack(self.vision), "M": pack(self.memory), "C": {"params": self.params}}
        arrays = {f"{model}.{name}": array for model, found in models.items() for name, array in found.items()}
        return digest_of_arrays(arrays)[:16]

    def agent(self) -> Agent:
        """V, M and C as one; without M where C sees z alone."""
        from reverie.agent import Agent

        controller, params = self._controller
        return Agent(self.vision, self.memory if self._sees_memory else None, controller, params, self.spec)

    def dream(self, num_envs: int, temperature: float | None = None, seed: int | None = None) -> FeatureVectorEnv:
        """M's dream as an environment that can be rendered; tau is that of the training where None."""
        from reverie.dream.env import dream_vector_env

        return dream_vector_env(
            self.memory,
            self.starts,
            self.spec,
            at_temperature(self.experiment.dream, temperature),
            num_envs,
            self.experiment.controller.inputs,
            seed,
            self.vision,
            render_mode="rgb_array",
        )

    def env(self, place: Place) -> EnvSpec:
        """Where workers try candidates for C, each opening the files by itself."""
        from reverie.play.env_spec import NEEDED, EnvSpec

        experiment, parts = self.experiment, self.parts
        needed = NEEDED[place] | ({"memory"} if self._sees_memory else set())
        folders = {"vision": parts.vision, "memory": parts.memory, "latents": parts.starts}
        return EnvSpec(
            place=place,
            spec=self.spec,
            controller=experiment.controller,
            latent_size=experiment.vision.latent_size,
            memory_size=experiment.memory.hidden_size if self._sees_memory else 0,
            survival_size=experiment.memory.survival_features,
            dream=experiment.dream,
            **{name: folders[name] for name in needed},  # type: ignore[arg-type]
        )

    @property
    def _sees_memory(self) -> bool:
        return self.experiment.controller.needs_memory

    @cached_property
    def _controller(self) -> tuple[Controller, np.ndarray]:
        from reverie.controller.file import load_controller

        file = self.parts.controller
        if not file.exists():
            raise ReverieError(f"{self.path} has no trained controller yet; run `reverie controller {self.path}` first")
        controller, params = load_controller(file)
        if controller.actions != self.spec.actions or controller.config != self.experiment.controller:
            raise DamagedFileError(
                f"{file} is no C for {self.spec.name!r} as {self.path} has it; restore it from a copy"
            )
        return controller, params


def at_temperature(config: DreamConfig, temperature: float | None) -> DreamConfig:
    """The same dream at another tau; as it is where None."""
    return config if temperature is None else replace(config, temperature=temperature)


def open_export(folder: Path, remedy: str = RESTORE) -> Trained:
    """The agent that `reverie export` put into `folder`, every file checked against the card's digests."""
    card = read_card(folder, remedy)
    for fault in faults(folder, card, remedy):
        raise fault
    return Trained(folder, card.experiment, parts_in(folder), card)
