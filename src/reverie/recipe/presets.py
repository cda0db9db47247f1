"""Presets: from seconds to the paper's own counts, for each world."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from reverie.controller.config import ControllerConfig
from reverie.dream.config import DreamConfig
from reverie.episodes.config import CollectConfig
from reverie.errors import ReverieError
from reverie.learning.config import CMAESConfig, PPOConfig
from reverie.learning.phases import Phase, any_in_dream
from reverie.memory.config import MemoryConfig
from reverie.recipe.budget import BUDGETS, Budget
from reverie.recipe.experiment import PRESETS, Experiment, Preset
from reverie.recipe.rounds import RoundsConfig
from reverie.vision.config import VisionConfig


def make_experiment(
    world: str,
    preset: str = "quick",
    *,
    seed: int = 0,
    phases: Sequence[Phase] | None = None,
    budget: Budget | None = None,
) -> Experiment:
    """The experiment of a preset; `phases` are C's training in place of the preset's.

    budget: in place of the preset's, for worlds that `takes_budget`
    Raises: ReverieError for an unknown world or preset (the nearest is suggested).
    """
    if preset not in PRESETS:
        near = difflib.get_close_matches(preset, PRESETS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ReverieError(f"unknown preset {preset!r}, expected one of {', '.join(PRESETS)}{hint}")
    settings = _hand_made(world, preset) or _gymnasium(world, preset, budget)
    chosen = settings.phases if phases is None else tuple(phases)
    in_dream = any_in_dream(chosen)
    return Experiment(
        world=world,
        preset=preset,
        seed=seed,
        collect=settings.collect,
        vision=settings.vision,
        memory=_with_heads(settings) if in_dream else settings.memory,
        controller=settings.controller,
        dream=settings.dream if in_dream else DreamConfig(settings.dream.temperature, settings.dream.termination),
        phases=chosen,
        ppo=settings.ppo,
        cmaes=settings.cmaes,
        rounds=settings.rounds,
        mirror=settings.mirror,
    )


@dataclass(frozen=True)
class _Settings:
    """What a preset says of one world; `survival` worlds have a reward of 1 a step, known without M."""

    survival: bool
    collect: CollectConfig
    vision: VisionConfig
    memory: MemoryConfig
    controller: ControllerConfig
    dream: DreamConfig
    phases: tuple[Phase, ...]
    ppo: PPOConfig = field(default_factory=PPOConfig)
    cmaes: CMAESConfig = field(default_factory=CMAESConfig)
    rounds: RoundsConfig = field(default_factory=RoundsConfig)
    mirror: bool = False


def _phases(*words: str) -> tuple[Phase, ...]:
    return tuple(map(Phase.from_word, words))


def _with_heads(settings: _Settings) -> MemoryConfig:
    """M with the heads that a dream needs."""
    return replace(settings.memory, restart_input=True, done_head=True, reward_head=not settings.survival)


def takes_budget(world: str, preset: Preset) -> bool:
    """Whether the preset is the recipe of any world with a budget, and no hand-made one."""
    return preset in BUDGETS and _hand_made(world, preset) is None


def _hand_made(world: str, preset: Preset) -> _Settings | None:
    from reverie.worlds.registry import base_world

    base = base_world(world)
    if base == "doom":
        return _hard_doom() if world == "doom-skill-5-repeat-4" and preset == "standard" else _doom(preset)
    if base == "carracing":
        return _dreamt_car() if preset == "standard" else _carracing(preset)
    if world == "Pendulum-v1" and preset in ("quick", "standard"):
        return _dreamt_pendulum()
    return _tiny(preset) if world == "tiny" else None


def _doom(preset: Preset) -> _Settings:
    """VizDoom Take Cover: 64 latents, 512 cells, [z, c, h] without bias, tau 1.15; C trained only in the dream."""
    held = ("held", "long-held", "long-held", "sweep")  # long holds reach the walls, where random data never stands
    sharp: dict[str, Any] = {"latent_size": 64, "pixel_weight": "change", "learning_rate": 1e-3}
    sharp |= {"min_lr": 1e-4}
    sizes: dict[str, Any] = {"latent_size": 64, "action_size": 1, "hidden_size": 512}
    sizes |= {"restart_input": True, "done_head": True}
    collect = {
        "tiny": CollectConfig(episodes=16, max_steps=300, policies=held),
        "quick": CollectConfig(episodes=1200, max_steps=2100, policies=held),
        "standard": CollectConfig(episodes=4000, max_steps=2100, policies=held),
        "paper": CollectConfig(episodes=10_000, max_steps=2100, min_steps=100, policies=("held",)),
    }
    vision = {
        "tiny": VisionConfig(**sharp, batch_size=32, updates=40),
        "quick": VisionConfig(**sharp, updates=2000),
        "standard": VisionConfig(**sharp, updates=8000),
        "paper": VisionConfig(latent_size=64, updates=120_000),
    }
    memory = {
        "tiny": MemoryConfig(**sizes, batch_size=8, sequence_length=32, updates=20),
        "quick": MemoryConfig(**sizes, batch_size=64, sequence_length=100, updates=1400, lr_decay=0.9985),
        "standard": MemoryConfig(
            **sizes, clock=True, batch_size=64, sequence_length=64, updates=12_000, lr_decay=0.99968
        ),
        "paper": MemoryConfig(**sizes, updates=24_400, lr_decay=0.99999),
    }
    phases = {
        "tiny": _phases("cmaes:dream:2"),
        "quick": _phases("cmaes:dream:25"),
        "standard": _phases("ppo:dream:450:first", "ppo:dream:300:later"),
        "paper": _phases("cmaes:dream:1800"),
    }
    cmaes = {
        "tiny": CMAESConfig(population=8, episodes=2, rescore_episodes=4),
        "quick": CMAESConfig(episodes=8, rescore_every=5, rescore_episodes=64),
        "standard": CMAESConfig(),
        "paper": CMAESConfig(rescore_episodes=1024),
    }
    standard = preset == "standard"
    return _Settings(
        survival=True,
        collect=collect[preset],
        vision=vision[preset],
        memory=memory[preset],
        controller=ControllerConfig(inputs=("z", "c", "h"), bias=False),
        dream=DreamConfig(temperature=1.15, termination="calibrated" if standard else "threshold"),
        phases=phases[preset],
        cmaes=cmaes[preset],
        rounds=RoundsConfig(count=3, episodes=600, memory_updates=4000) if standard else RoundsConfig(),
        mirror=standard,
    )


def _hard_doom() -> _Settings:
    """Take Cover at skill 5 with a frame skip, at standard: a linear C that sees M's survival head, in five rounds."""
    plain = _doom("standard")
    return replace(
        plain,
        # of turning in face of a fireball M has to have seen much
        collect=replace(plain.collect, episodes=30_000, policies=("held", "held", "turning", "turning")),
        vision=replace(plain.vision, kl_tolerance=1.5, updates=2500),
        memory=replace(plain.memory, survival_head=(2, 4, 8, 16), updates=6000, lr_decay=0.9995),
        controller=replace(plain.controller, inputs=("z", "c", "h", "survival"), bias=True, categorical=True),
        phases=_phases(
            "ppo:dream:150:first",
            "ppo:dream:100:later",
            "ppo:dream:110:last:average_last=40,ez_prob=0,ent_coef=0",  # without the noise that C learned by
        ),
        ppo=PPOConfig(
            num_envs=1024,
            n_epochs=3,
            learning_rate=1e-3,
            gamma=0.98,
            target_kl=0.1,
            ez_prob=0.06,
            ez_max_steps=5,
            anneal_fraction=0.5,
            average_last=20,
        ),
        rounds=RoundsConfig(count=5, episodes=3000, epsilon=0.06, memory_updates=2500, evaluation_episodes=48),
    )


def _dreamt_car() -> _Settings:
    """CarRacing at standard: C learns in the dream alone, by gradients, in rounds of episodes that it drives itself."""
    return _Settings(
        survival=False,
        collect=CollectConfig(episodes=800, max_steps=300, policies=("random-network", "brownian", "held")),
        vision=VisionConfig(learning_rate=1e-3, min_lr=1e-4, updates=5000),
        memory=MemoryConfig(sequence_length=100, updates=3000, lr_decay=0.9987),
        controller=ControllerConfig(sample_z=False),
        dream=DreamConfig(temperature=1.0, termination="calibrated", starts="replay", horizon=250),
        phases=_phases(
            "ppo:dream:200:first",
            "ppo:dream:150:later",
            "ppo:dream:120:last:reward_clip=1,average_last=50",  # C gains nothing by haste
        ),
        ppo=PPOConfig(target_kl=0.1),
        rounds=RoundsConfig(
            count=3,
            episodes=150,
            max_steps=1000,
            memory_updates=2500,
            evaluation_episodes=24,  # a hundred tracks take Gymnasium as long as M takes to learn
        ),
    )


def _carracing(preset: Preset) -> _Settings:
    """CarRacing: 32 latents, 256 cells, [z, h] with bias; C evolved in the real environment, as in the paper."""
    driven = ("random-network", "brownian")
    brisk: dict[str, Any] = {"learning_rate": 1e-3, "min_lr": 1e-4}
    collect = {
        "tiny": CollectConfig(episodes=8, max_steps=100, policies=driven),
        "quick": CollectConfig(episodes=200, max_steps=500, policies=driven),
        "standard": CollectConfig(episodes=1500, max_steps=1000, policies=driven),
        "paper": CollectConfig(episodes=10_000, max_steps=1000, policies=("random-network",)),
    }
    vision = {
        "tiny": VisionConfig(**brisk, batch_size=32, updates=40),
        "quick": VisionConfig(**brisk, updates=1800),
        "standard": VisionConfig(**brisk, updates=12_000),
        "paper": VisionConfig(updates=100_000),
    }
    memory = {
        "tiny": MemoryConfig(batch_size=8, sequence_length=32, updates=20),
        "quick": MemoryConfig(batch_size=64, sequence_length=100, updates=800, lr_decay=0.998),
        "standard": MemoryConfig(sequence_length=250, updates=4000, lr_decay=0.9995),
        "paper": MemoryConfig(sequence_length=999),
    }
    phases = {
        "tiny": _phases("cmaes:world:2"),
        "quick": _phases("cmaes:world:30"),
        "standard": _phases("cmaes:world:150"),
        "paper": _phases("cmaes:world:1800"),
    }
    cmaes = {
        "tiny": CMAESConfig(population=8, episodes=1, max_steps=50, rescore_episodes=4),
        "quick": CMAESConfig(
            population=32, episodes=2, no_reward_timeout=50, max_steps=400, rescore_every=10, rescore_episodes=16
        ),
        "standard": CMAESConfig(episodes=4, no_reward_timeout=100),
        "paper": CMAESConfig(rescore_episodes=1024),
    }
    return _Settings(
        survival=False,
        collect=collect[preset],
        vision=vision[preset],
        memory=memory[preset],
        controller=ControllerConfig(),
        dream=DreamConfig(),
        phases=phases[preset],
        cmaes=cmaes[preset],
    )


def _tiny(preset: Preset) -> _Settings:
    """Follow: small enough that every preset ends within a minute or two on two cores."""
    larger = preset != "tiny"
    return _Settings(
        survival=False,
        collect=CollectConfig(episodes=400 if larger else 150, max_steps=100, policies=("held", "uniform", "brownian")),
        vision=VisionConfig(
            latent_size=8, learning_rate=3e-3, min_lr=3e-4, batch_size=32, updates=600 if larger else 250
        ),
        memory=MemoryConfig(
            latent_size=8,
            action_size=1,
            hidden_size=64,
            batch_size=32,
            sequence_length=50,
            lr_decay=0.995,
            learning_rate=5e-3,
            updates=1000 if larger else 300,
        ),
        controller=ControllerConfig(),
        dream=DreamConfig(),
        phases=_phases(f"cmaes:dream:{40 if larger else 15}"),
        cmaes=CMAESConfig(population=32, episodes=8, rescore_every=5, rescore_episodes=32),
    )


def _dreamt_pendulum() -> _Settings:
    """Pendulum-v1, quick and standard: C learns to swing up in the dream alone, by gradients, in rounds."""
    small: dict[str, Any] = {"latent_size": 16, "batch_size": 32, "updates": 1200}
    return _Settings(
        survival=False,
        collect=CollectConfig(episodes=150, max_steps=200, policies=("uniform", "held")),
        vision=VisionConfig(**small, learning_rate=1e-3, min_lr=1e-4, pixel_weight="change"),
        memory=MemoryConfig(
            **small, action_size=1, hidden_size=128, sequence_length=100, learning_rate=2e-3, lr_decay=0.9985
        ),
        controller=ControllerConfig(sample_z=False),
        dream=DreamConfig(starts="replay", horizon=100),
        phases=_phases("ppo:dream:150:first", "ppo:dream:100:later"),
        ppo=PPOConfig(num_envs=1024, gamma=0.98),
        rounds=RoundsConfig(count=4, episodes=50, memory_updates=800),
    )


def _gymnasium(world: str, preset: Preset, budget: Budget | None = None) -> _Settings:
    """Any Gymnasium id: explore, then rounds of C's own play; C learns by PPO in dreams that start anywhere."""
    from reverie.worlds.registry import world_spec

    if preset == "paper":
        return _paper_gymnasium(world)
    spec, budget = world_spec(world), budget or BUDGETS[preset]
    small, survival = preset == "tiny", spec.reward == "survival"
    return _Settings(
        survival=survival,
        collect=CollectConfig(
            episodes=12 if small else 40,
            steps=budget.steps // spec.repeat,
            max_steps=min(spec.max_steps, 60 if small else 1000),
            policies=("uniform", "held"),
        ),
        # what moves is a few dozen pixels on a page that stays: V sees and draws how a frame differs from the mean
        vision=VisionConfig(
            learning_rate=1e-3,
            min_lr=1e-4,
            batch_size=32,
            updates=budget.vision,
            kl_tolerance=0.0,
            centred=True,
            pixel_weight="motion",
            shift=4,
        ),
        memory=MemoryConfig(
            action_size=spec.actions.size,
            batch_size=16 if small else 64,
            sequence_length=32 if small else 50,
            learning_rate=2e-3,
            lr_decay=0.05 ** (1 / budget.memory),  # ends at a twentieth of it
            updates=budget.memory,
            restart_input=True,
            residual=True,
            done_head=True,
            reward_head=not survival,
            reward_bins=0 if survival else 63,
        ),
        controller=ControllerConfig(sample_z=False),
        dream=DreamConfig(termination="calibrated", starts="replay", horizon=150),
        phases=_phases(f"ppo:dream:{budget.controller}:first", f"ppo:dream:{budget.round_controller}:later"),
        ppo=PPOConfig(num_envs=16 if small else 512, target_kl=0.1),
        rounds=RoundsConfig(
            count=budget.rounds,
            episodes=6 if small else 20,
            steps=budget.round_steps // spec.repeat,
            epsilon=0.05,
            memory_updates=budget.round_memory,
            evaluation_episodes=20,
        ),
    )


def _paper_gymnasium(world: str) -> _Settings:
    """Any Gymnasium id with the car's sizes and the paper's counts."""
    from reverie.worlds.registry import world_spec

    spec = world_spec(world)
    return _Settings(
        survival=spec.reward == "survival",
        collect=CollectConfig(episodes=10_000, max_steps=min(spec.max_steps, 1000), policies=("uniform", "held")),
        vision=VisionConfig(updates=100_000),
        memory=MemoryConfig(action_size=spec.actions.size, sequence_length=100),
        controller=ControllerConfig(),
        dream=DreamConfig(),
        phases=_phases("cmaes:dream:1800"),
    )
