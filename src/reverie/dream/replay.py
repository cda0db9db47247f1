"""Start states from the replay buffer: steps of recorded episodes, with the state that M has there.

M follows the episode from its first frame to the step, as it would have followed it in the real world, so its state
and its clock are those that C knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from reverie.dream.starts import Starts
from reverie.errors import ReverieError
from reverie.memory.lstm import LSTMState
from reverie.workers.seeds import generator

if TYPE_CHECKING:
    from reverie.memory.model import MDNRNN
    from reverie.vision.latents import LatentEpisode, Latents
    from reverie.worlds.spec import ActionSpec

MOST_STARTS = 2000
BATCH, WINDOW = 100, 100  # episodes side by side, and steps at once: some tens of megabytes


@dataclass(frozen=True, repr=False)
class ReplayStarts(Starts):
    """S recorded steps: V's Gaussian of the frame, and each M's state before it absorbs that frame.

    hidden: of the M that dreams, and then of every M that follows, h and c, both float32 [S, H]
    """

    hidden: tuple[LSTMState, ...]

    def __repr__(self) -> str:
        return f"ReplayStarts({len(self)}, latent_size={self.latent_size}, memories={len(self.hidden)})"


def replay_starts(
    memories: Sequence[MDNRNN], latents: Latents, actions: ActionSpec, limit: int = MOST_STARTS
) -> ReplayStarts:
    """At most `limit` steps, spread evenly over all that was recorded; neither a first frame nor a last one."""
    entries = [entry for entry in latents.entries if entry.steps > 1]
    if not entries:
        raise ReverieError(
            f"{latents!r} holds no episode of two steps, so no dream can begin inside one; "
            "set dream.starts to initial, or collect longer episodes"
        )
    inside = np.cumsum([0, *(entry.steps - 1 for entry in entries)])
    count = min(limit, int(inside[-1]))
    chosen = ((np.arange(count) + generator(0, "moments").random(count)) * inside[-1] / count).astype(int)
    places = np.searchsorted(inside, chosen, side="right") - 1
    chosen_steps = [(int(place), int(1 + at - inside[place])) for place, at in zip(places, chosen, strict=True)]
    chosen_steps.sort(
        key=lambda chosen_step: chosen_step[1]
    )  # those that are followed side by side have about as far to go
    mu, logvar = list[np.ndarray](), list[np.ndarray]()
    followed: list[list[LSTMState]] = [[] for _ in memories]
    for first in range(0, count, BATCH):
        some = [
            (latents.episode(entries[place].index), moment) for place, moment in chosen_steps[first : first + BATCH]
        ]
        mu += [episode.mu[moment] for episode, moment in some]
        logvar += [episode.logvar[moment] for episode, moment in some]
        for states, memory in zip(followed, memories, strict=True):
            states.append(_follow(memory, actions, some))
    return ReplayStarts(
        mu=np.stack(mu).astype(np.float32),
        logvar=np.stack(logvar).astype(np.float32),
        hidden=tuple(LSTMState(*(torch.cat(part) for part in zip(*states, strict=True))) for states in followed),
        longest=max(entry.steps for entry in entries),
    )


@torch.inference_mode()
def _follow(memory: MDNRNN, actions: ActionSpec, episodes: Sequence[tuple[LatentEpisode, int]]) -> LSTMState:
    """M's state at each step, on the CPU; episodes are laid so that all of them fall on the last one, and a restart
    clears what lies before."""
    longest = max(step for _, step in episodes)
    size = memory.config.latent_size, memory.config.action_size
    z, a = (np.zeros((longest, len(episodes), width), np.float32) for width in size)
    restart = np.zeros((longest, len(episodes)), np.float32)
    for row, (episode, step) in enumerate(episodes):
        begin, rng = longest - step, generator(0, "moments", row)
        noise = rng.standard_normal((step, size[0]), np.float32)
        z[begin:, row] = episode.mu[:step] + np.exp(0.5 * episode.logvar[:step].astype(np.float32)) * noise
        a[begin:, row] = actions.for_memory(episode.actions[:step])
        restart[begin, row] = 1
    state = memory.initial_state(len(episodes))
    for first in range(0, longest, WINDOW):
        window = [torch.from_numpy(part[first : first + WINDOW]).to(state.c.device) for part in (z, a, restart)]
        state, _ = memory.unroll(state, window[0], window[1], window[2])
    return LSTMState(state.h.float().cpu(), state.c.cpu())
