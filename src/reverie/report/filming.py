"""A trained agent on film: fallen asleep, beside the same episode awake."""

from __future__ import annotations

from dataclasses import replace

from reverie.agent import Agent
from reverie.agents.trained import Trained, at_temperature
from reverie.evaluation.published import published
from reverie.learning.arena import close_arenas, open_dream
from reverie.report.daydream import Daydream, daydream_film, record_daydream
from reverie.report.video import Film
from reverie.workers.seeds import evaluation_seeds

FILMED = 3  # episodes, of which the middle one is shown
MOST_FRAMES = 2100  # a minute of Doom


def film_daydream(trained: Trained, seed: int, temperature: float | None = None) -> tuple[Film, Daydream]:
    """The film, and what is on it; tau of the dream is that of the training where None."""
    arena = trained.arena("dream")
    arena = replace(arena, dream=at_temperature(arena.dream, temperature))
    # M follows what happens also where C sees z alone: the dream goes on from there
    agent = Agent(trained.vision, trained.memory, trained.controller, trained.params, trained.spec)
    try:
        seeds = evaluation_seeds(seed, "daydream", count=FILMED)
        found = record_daydream(agent, open_dream(arena), seeds)
    finally:
        close_arenas()
    return daydream_film(found, published(trained.spec.name).frames_per_second, MOST_FRAMES), found
