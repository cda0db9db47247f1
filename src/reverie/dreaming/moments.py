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

from reverie.dreaming.starts import Starts
from reverie.errors import ReverieError
from reverie.memory.lstm import LSTMState
from reverie.workers.seeds import generator

if TYPE_CHECKING:
    from reverie.memory.model import MDNRNN
    from reverie.vision.latents import LatentEpisode, Latents
    from reverie.worlds.spec import ActionSpec

MOST_MOMENTS = 500
BATCH, WINDOW = 50, 100  # episodes side by side, and steps at once: some tens of megabytes


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
    """A random moment of each of at most `limit` episodes, evenly spread; neither a first frame nor a last one."""
    entries = [entry for entry in latents.entries if entry.steps > 1]
    if not entries:
        raise ReverieError(
            f"{latents!r} holds no episode of two steps, so no dream can begin inside one; "
            "set guards.starts to first, or collect longer episodes"
        )
    chosen = np.linspace(0, len(entries) - 1, min(limit, len(entries))).round().astype(int)
    rng = generator(0, "moments")
    found = [(entries[place].index, int(rng.integers(1, entries[place].steps))) for place in chosen]
    found.sort(key=lambda moment: moment[1])  # those that are followed side by side have about as far to go
    episodes = [(latents.episode(index), moment) for index, moment in found]
    return Moments(
        mu=np.stack([episode.mu[moment] for episode, moment in episodes]).astype(np.float32),
        logvar=np.stack([episode.logvar[moment] for episode, moment in episodes]).astype(np.float32),
        hidden=tuple(_followed(memory, actions, episodes) for memory in memories),
    )


@torch.inference_mode()
def _followed(memory: MDNRNN, actions: ActionSpec, episodes: Sequence[tuple[LatentEpisode, int]]) -> LSTMState:
    """M's state at each moment, on the CPU."""
    parts = [_follow(memory, actions, episodes[first : first + BATCH]) for first in range(0, len(episodes), BATCH)]
    return LSTMState(torch.cat([part.h for part in parts]), torch.cat([part.c for part in parts]))


def _follow(memory: MDNRNN, actions: ActionSpec, episodes: Sequence[tuple[LatentEpisode, int]]) -> LSTMState:
    """The same of a few episodes, laid so that all moments fall on the last step; a restart clears what lies before."""
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
