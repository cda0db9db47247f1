"""Where dreams begin in the middle of things: moments of recorded episodes, with the state that M has there.

M follows the episode from its first frame to the moment, as it would have followed it in the real world, so its state
and its clock are those that C knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from reverie.dream.starts import Starts
from reverie.errors import ReverieError
from reverie.memory.lstm import LSTMState
from reverie.workers.seeds import generator

if TYPE_CHECKING:
    from reverie.memory.model import MDNRNN
    from reverie.vision.latents import LatentEpisode, Latents
    from reverie.worlds.spec import ActionSpec

MOST_MOMENTS = 2000
BATCH, WINDOW = 100, 100  # episodes side by side, and steps at once: some tens of megabytes


@dataclass(frozen=True, repr=False)
class Moments(Starts):
    """S moments: V's Gaussian of the frame, and each M's state before it absorbs that frame.

    hidden: for M, and then for every M beside it, h and c, both float32 [S, H]
    """

    hidden: tuple[LSTMState, ...]

    def __repr__(self) -> str:
        return f"Moments({len(self)}, latent_size={self.latent_size}, memories={len(self.hidden)})"

    def states(self, seeds: Sequence[int], episode: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Each M's h and c [n, H] where `draw` begins the dreams of `seeds`, which `episode` [n] looks up."""
        places = [int(generator(seed, "dream", "start").integers(len(self))) for seed in seeds]
        chosen = torch.tensor(places, device=episode.device)[episode]
        return [(h.to(episode.device)[chosen], c.to(episode.device)[chosen]) for h, c in self.hidden]


def recorded_moments(
    memories: Sequence[MDNRNN], latents: Latents, actions: ActionSpec, limit: int = MOST_MOMENTS
) -> Moments:
    """At most `limit` moments, spread evenly over all that was recorded; neither a first frame nor a last one."""
    entries = [entry for entry in latents.entries if entry.steps > 1]
    if not entries:
        raise ReverieError(
            f"{latents!r} holds no episode of two steps, so no dream can begin inside one; "
            "set guards.starts to first, or collect longer episodes"
        )
    inside = np.cumsum([0, *(entry.steps - 1 for entry in entries)])
    count = min(limit, int(inside[-1]))
    chosen = ((np.arange(count) + generator(0, "moments").random(count)) * inside[-1] / count).astype(int)
    places = np.searchsorted(inside, chosen, side="right") - 1
    found = [(int(place), int(1 + at - inside[place])) for place, at in zip(places, chosen, strict=True)]
    found.sort(key=lambda moment: moment[1])  # those that are followed side by side have about as far to go
    mu, logvar = list[np.ndarray](), list[np.ndarray]()
    followed: list[list[LSTMState]] = [[] for _ in memories]
    for first in range(0, count, BATCH):
        some = [(latents.episode(entries[place].index), moment) for place, moment in found[first : first + BATCH]]
        mu += [episode.mu[moment] for episode, moment in some]
        logvar += [episode.logvar[moment] for episode, moment in some]
        for states, memory in zip(followed, memories, strict=True):
            states.append(_follow(memory, actions, some))
    return Moments(
        mu=np.stack(mu).astype(np.float32),
        logvar=np.stack(logvar).astype(np.float32),
        hidden=tuple(LSTMState(*(torch.cat(part) for part in zip(*states, strict=True))) for states in followed),
    )


@torch.inference_mode()
def _follow(memory: MDNRNN, actions: ActionSpec, episodes: Sequence[tuple[LatentEpisode, int]]) -> LSTMState:
    """M's state at each moment, on the CPU; episodes are laid so that all moments fall on the last step, and a restart
    clears what lies before."""
    longest = max(moment for _, moment in episodes)
    size = memory.config.latent_size, memory.config.action_size
    z, a = (np.zeros((longest, len(episodes), width), np.float32) for width in size)
    restart = np.zeros((longest, len(episodes)), np.float32)
    for row, (episode, moment) in enumerate(episodes):
        begin, rng = longest - moment, generator(0, "moments", row)
        noise = rng.standard_normal((moment, size[0]), np.float32)
        z[begin:, row] = episode.mu[:moment] + np.exp(0.5 * episode.logvar[:moment].astype(np.float32)) * noise
        a[begin:, row] = actions.for_memory(episode.actions[:moment])
        restart[begin, row] = 1
    state = memory.initial_state(len(episodes))
    for first in range(0, longest, WINDOW):
        window = [torch.from_numpy(part[first : first + WINDOW]).to(state.c.device) for part in (z, a, restart)]
        state, _ = memory.unroll(state, window[0], window[1], window[2])
    return LSTMState(state.h.float().cpu(), state.c.cpu())
