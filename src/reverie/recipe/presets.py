"""Presets: from seconds to the paper's own counts, for each world. docs/presets.md says what each is for."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from reverie.controller.config import ControllerConfig
from reverie.dream.config import DreamConfig, GuardsConfig
from reverie.episodes.config import CollectConfig
from reverie.errors import ReverieError
from reverie.learning.config import FinetuneConfig, GradientConfig, SettleConfig
from reverie.learning.evolution_config import EvolutionConfig
from reverie.memory.config import MemoryConfig
from reverie.recipe.experiment import PRESETS, Experiment, Preset
from reverie.recipe.rounds import RoundsConfig
from reverie.vision.config import VisionConfig

Where = Literal["dream", "world"]


def make_experiment(world: str, preset: str = "quick", *, seed: int = 0, evolve_in: Where | None = None) -> Experiment:
    """The experiment of a preset; `evolve_in` overrides where the world's C trains.

    Raises: ReverieError for an unknown world or preset (the nearest is suggested).
    """
    if preset not in PRESETS:
        near = difflib.get_close_matches(preset, PRESETS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ReverieError(f"unknown preset {preset!r}, expected one of {', '.join(PRESETS)}{hint}")
    if evolve_in not in (None, "dream", "world"):
        raise ReverieError(f"evolve_in is {evolve_in!r}, expected dream or world")
    settings = _settings(world, preset, evolve_in)
    where = evolve_in or settings.evolution.where
    return Experiment(
        world=world,
        preset=preset,
        seed=seed,
        collect=settings.collect,
        vision=settings.vision,
        memory=_heads(settings, where),
        controller=settings.controller,
        dream=settings.dream,
        evolution=replace(settings.evolution, where=where),
        gradient=settings.gradient,
        settle=settings.settle,
        finetune=settings.finetune,
        guards=settings.guards,
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
    evolution: EvolutionConfig
    gradient: GradientConfig = field(default_factory=GradientConfig)
    settle: SettleConfig = field(default_factory=SettleConfig)
    finetune: FinetuneConfig = field(default_factory=FinetuneConfig)
    guards: GuardsConfig = field(default_factory=GuardsConfig)
    rounds: RoundsConfig = field(default_factory=RoundsConfig)
    mirror: bool = False


def _heads(settings: _Settings, where: Where) -> MemoryConfig:
    """M with the heads that a dream needs, where C is to train in one."""
    if where == "world":
        return settings.memory
    return replace(settings.memory, restart_input=True, done_head=True, reward_head=not settings.survival)


def _settings(world: str, preset: Preset, evolve_in: Where | None) -> _Settings:
    from reverie.worlds.registry import base_world

    base = base_world(world)
    if base == "doom":
        return _hard_doom() if world == "doom-skill-5-repeat-4" and preset == "standard" else _doom(preset)
    if base == "carracing":
        return _dreamt_car() if preset == "standard" and evolve_in != "world" else _carracing(preset)
    if world == "Pendulum-v1" and preset in ("quick", "standard") and evolve_in != "world":
        return _dreamt_pendulum()
    return _tiny(preset) if world == "tiny" else _gymnasium(world, preset)


def _doom(preset: Preset) -> _Settings:
    """VizDoom Take Cover: 64 latents, 512 cells, [z, c, h] without bias, tau 1.15; C trained only in the dream."""
    held = ("held", "long-held", "long-held", "sweep")  # long holds reach the walls, where random data never stands
    sharp: dict[str, Any] = {"latent_size": 64, "pixel_weight": "change", "learning_rate": 1e-3}
    sharp |= {"final_learning_rate": 1e-4}
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
        "tiny": MemoryConfig(**sizes, batch_size=8, window=32, updates=20),
        "quick": MemoryConfig(**sizes, batch_size=64, window=100, updates=1400, decay=0.9985),
        "standard": MemoryConfig(**sizes, clock=True, batch_size=64, window=64, updates=12_000, decay=0.99968),
        "paper": MemoryConfig(**sizes, updates=24_400, decay=0.99999),
    }
    evolution = {
        "tiny": EvolutionConfig(population=8, rollouts=2, generations=2, rescore_rollouts=4),
        "quick": EvolutionConfig(rollouts=8, generations=25, rescore_every=5, rescore_rollouts=64),
        "standard": EvolutionConfig(generations=0),
        "paper": EvolutionConfig(generations=1800, rescore_rollouts=1024),
    }
    rounds = RoundsConfig(count=3, episodes=600, memory_updates=4000, gradient_updates=300, generations=0)
    standard = preset == "standard"
    return _Settings(
        survival=True,
        collect=collect[preset],
        vision=vision[preset],
        memory=memory[preset],
        controller=ControllerConfig(features="zch", bias=False),
        dream=DreamConfig(temperature=1.15, done="calibrated" if standard else "cutoff"),
        evolution=evolution[preset],
        gradient=GradientConfig(updates=450) if standard else GradientConfig(),
        rounds=rounds if standard else RoundsConfig(),
        mirror=standard,
    )


def _hard_doom() -> _Settings:
    """Take Cover at skill 5 with a frame skip, at standard: a linear C that sees M's outlook, in five rounds."""
    plain = _doom("standard")
    return replace(
        plain,
        # of turning in face of a fireball M has to have seen much
        collect=replace(plain.collect, episodes=30_000, policies=("held", "held", "turning", "turning")),
        vision=replace(plain.vision, kl_tolerance=1.5, updates=2500),
        memory=replace(plain.memory, outlook=(2, 4, 8, 16), updates=6000, decay=0.9995),
        controller=replace(plain.controller, features="zcho", bias=True, categorical=True),
        gradient=GradientConfig(
            updates=150,
            dreams=1024,
            epochs=3,
            learning_rate=1e-3,
            discount=0.98,
            divergence_limit=0.1,
            hold_chance=0.06,
            longest_hold=5,
            fade=0.5,
            average=20,
        ),
        settle=SettleConfig(updates=110, average=40, hold_chance=0.0, entropy=0.0),
        rounds=RoundsConfig(
            count=5,
            episodes=3000,
            noise=0.06,
            memory_updates=2500,
            gradient_updates=100,
            generations=0,
            evaluation_episodes=48,
        ),
    )


def _dreamt_car() -> _Settings:
    """CarRacing at standard: C learns in the dream alone, by gradients, in rounds of episodes that it drives itself."""
    return _Settings(
        survival=False,
        collect=CollectConfig(episodes=800, max_steps=300, policies=("random-network", "brownian", "held")),
        vision=VisionConfig(learning_rate=1e-3, final_learning_rate=1e-4, updates=5000),
        memory=MemoryConfig(window=100, updates=3000, decay=0.9987),
        controller=ControllerConfig(features="zh", sample_z=False),
        dream=DreamConfig(temperature=1.0, done="calibrated"),
        evolution=EvolutionConfig(generations=0),
        gradient=GradientConfig(updates=200, divergence_limit=0.1),
        settle=SettleConfig(updates=120, reward_limit=1.0),
        finetune=FinetuneConfig(patience=60),  # none by itself; after a lap with gaps there is nothing left to learn
        guards=GuardsConfig(starts="anywhere", steps=250),
        rounds=RoundsConfig(
            count=3,
            episodes=150,
            max_steps=1000,
            memory_updates=2500,
            gradient_updates=150,
            generations=0,
            evaluation_episodes=24,  # a hundred tracks take Gymnasium as long as M takes to learn
        ),
    )


def _carracing(preset: Preset) -> _Settings:
    """CarRacing: 32 latents, 256 cells, [z, h] with bias; C evolved in the real environment, as in the paper."""
    driven = ("random-network", "brownian")
    brisk: dict[str, Any] = {"learning_rate": 1e-3, "final_learning_rate": 1e-4}
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
        "tiny": MemoryConfig(batch_size=8, window=32, updates=20),
        "quick": MemoryConfig(batch_size=64, window=100, updates=800, decay=0.998),
        "standard": MemoryConfig(window=250, updates=4000, decay=0.9995),
        "paper": MemoryConfig(window=999),
    }
    evolution = {
        "tiny": EvolutionConfig("world", population=8, rollouts=1, generations=2, max_steps=50, rescore_rollouts=4),
        "quick": EvolutionConfig(
            "world",
            population=32,
            rollouts=2,
            generations=30,
            patience=50,
            max_steps=400,
            slots=32,
            rescore_every=10,
            rescore_rollouts=16,
        ),
        "standard": EvolutionConfig("world", rollouts=4, generations=150, patience=100, slots=32),
        "paper": EvolutionConfig("world", generations=1800, slots=32, rescore_rollouts=1024),
    }
    controller = ControllerConfig(features="zh")
    dream = DreamConfig(temperature=1.0)
    return _Settings(False, collect[preset], vision[preset], memory[preset], controller, dream, evolution[preset])


def _tiny(preset: Preset) -> _Settings:
    """Follow: small enough that every preset ends within a minute or two on two cores."""
    larger = preset != "tiny"
    return _Settings(
        survival=False,
        collect=CollectConfig(episodes=400 if larger else 150, max_steps=100, policies=("held", "uniform", "brownian")),
        vision=VisionConfig(
            latent_size=8, learning_rate=3e-3, final_learning_rate=3e-4, batch_size=32, updates=600 if larger else 250
        ),
        memory=MemoryConfig(
            latent_size=8,
            action_size=1,
            hidden_size=64,
            batch_size=32,
            window=50,
            decay=0.995,
            learning_rate=5e-3,
            updates=1000 if larger else 300,
        ),
        controller=ControllerConfig(features="zh"),
        dream=DreamConfig(temperature=1.0),
        evolution=EvolutionConfig(
            population=32, rollouts=8, generations=40 if larger else 15, rescore_every=5, rescore_rollouts=32
        ),
    )


def _dreamt_pendulum() -> _Settings:
    """Pendulum-v1, quick and standard: C learns to swing up in the dream alone, by gradients, in rounds."""
    small: dict[str, Any] = {"latent_size": 16, "batch_size": 32, "updates": 1200}
    return _Settings(
        survival=False,
        collect=CollectConfig(episodes=150, max_steps=200, policies=("uniform", "held")),
        vision=VisionConfig(**small, learning_rate=1e-3, final_learning_rate=1e-4, pixel_weight="change"),
        memory=MemoryConfig(**small, action_size=1, hidden_size=128, window=100, learning_rate=2e-3, decay=0.9985),
        controller=ControllerConfig(features="zh", sample_z=False),
        dream=DreamConfig(temperature=1.0),
        evolution=EvolutionConfig(generations=0),
        gradient=GradientConfig(updates=150, dreams=1024, discount=0.98),
        guards=GuardsConfig(starts="anywhere", steps=100),
        rounds=RoundsConfig(count=4, episodes=50, memory_updates=800, gradient_updates=100, generations=0),
    )


def _gymnasium(world: str, preset: Preset) -> _Settings:
    """Any Gymnasium id: the car's sizes, M with the heads of a dream, C trained in it unless told otherwise."""
    from reverie.worlds.registry import world_spec

    spec = world_spec(world)
    counts = {  # episodes, V updates, M updates, generations
        "tiny": (12, 40, 30, 3),
        "quick": (200, 1500, 800, 30),
        "standard": (1500, 10_000, 4000, 200),
        "paper": (10_000, 100_000, 4000, 1800),
    }
    episodes, vision_updates, memory_updates, generations = counts[preset]
    small = preset == "tiny"
    return _Settings(
        survival=spec.reward == "survival",
        collect=CollectConfig(
            episodes=episodes, max_steps=min(spec.max_steps, 60 if small else 1000), policies=("uniform", "held")
        ),
        vision=VisionConfig(
            learning_rate=1e-3,
            final_learning_rate=1e-4,
            batch_size=32 if small else 100,
            updates=vision_updates,
            pixel_weight="change",  # on a white page V never finds a thin line that moves by its few pixels alone
        ),
        memory=MemoryConfig(
            action_size=spec.actions.size,
            batch_size=16 if small else 64,
            window=32 if small else 100,
            updates=memory_updates,
            decay=0.998,
        ),
        controller=ControllerConfig(features="zh"),
        dream=DreamConfig(temperature=1.0),
        evolution=EvolutionConfig(
            population=16 if small else 64,
            rollouts=2 if small else 8,
            generations=generations,
            rescore_every=5,
            rescore_rollouts=8 if small else 64,
        ),
    )
