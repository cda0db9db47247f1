"""Is it learning, and if not, whose fault: figures of V, M, C and exploration, their thresholds, and a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from reverie.evaluation.calibration import HeadPredictions, padded, predict_heads
from reverie.evaluation.open_loop import mixture_mean
from reverie.vision.encode import decode_frames, encode_frames

if TYPE_CHECKING:
    from reverie.evaluation.score import Score
    from reverie.memory.model import MDNRNN
    from reverie.vision.latents import LatentEpisode
    from reverie.vision.model import ConvVAE
    from reverie.worlds.spec import ActionSpec

MOVES = 0.1  # a pixel that is so far from its median, in [0, 1], moves
UNDRAWN, UNFORESEEN, UNEXPLAINED, GAP = 0.5, 0.9, 0.2, 0.5  # the thresholds of the figures below


@dataclass(frozen=True)
class Figure:
    """One figure: what it is of, its value (None: not known), whether it is good, and what it says."""

    part: str
    name: str
    value: float | None
    ok: bool
    meaning: str

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)


def undrawn(vision: ConvVAE, frames: np.ndarray) -> float | None:
    """The share of what moves that V does not draw: its squared error there over that of a still picture.

    frames: uint8 [n, 64, 64, 3] of several episodes; the still picture is their median. None where nothing moves.
    """
    still = np.median(frames, axis=0) / 255
    x = frames / 255
    moving = np.abs(x - still).max(axis=-1) > MOVES
    if not moving.any():
        return None
    mu, _ = encode_frames(vision, frames)
    drawn = decode_frames(vision, mu) / 255
    return float(np.square(drawn - x)[moving].sum() / np.square(np.broadcast_to(still, x.shape) - x)[moving].sum())


@torch.inference_mode()
def unforeseen(memory: MDNRNN, actions: ActionSpec, episodes: Sequence[LatentEpisode]) -> float:
    """The share of z's change in a step that M does not foresee: its squared error over that of no change."""
    longest = max(len(episode.actions) for episode in episodes)
    mu = padded([episode.mu for episode in episodes], longest + 1)
    a = actions.for_memory(padded([episode.actions for episode in episodes], longest))
    restart = torch.zeros(a.shape[:2])
    restart[:, 0] = 1
    _, prediction = memory(memory.initial_state(len(mu)), mu[:, :-1], a, restart)
    played = torch.arange(longest) < torch.tensor([len(episode.actions) for episode in episodes])[:, None]
    missed = (mixture_mean(prediction) - mu[:, 1:]).square().sum(-1)[played].sum()
    return float(missed / (mu[:, :-1] - mu[:, 1:]).square().sum(-1)[played].sum().clamp_min(1e-12))


def reward_explained(predictions: HeadPredictions) -> float | None:
    """The share of the rewards' variance that M explains; None without a reward head, or where rewards never vary."""
    variance = float(np.var(predictions.reward))
    if predictions.reward_hat is None or variance == 0:
        return None
    return 1 - float(np.square(predictions.reward_hat - predictions.reward).mean()) / variance


def ending_explained(predictions: HeadPredictions) -> float | None:
    """How much of the endings' entropy M explains; None without a done head, or where no episode was ended."""
    if predictions.done_prob is None or not 0 < predictions.done.mean() < 1:
        return None
    rate = predictions.done.mean()
    base = -(rate * np.log(rate) + (1 - rate) * np.log(1 - rate))
    chance = np.clip(predictions.done_prob.astype(np.float64), 1e-6, 1 - 1e-6)
    loss = -np.where(predictions.done, np.log(chance), np.log(1 - chance)).mean()
    return float(1 - loss / base)


@dataclass(frozen=True)
class Diagnosis:
    """The figures, whether C beats random play, and one line: who is to blame where it does not learn."""

    figures: tuple[Figure, ...]
    learns: bool
    verdict: str

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "learns": self.learns,
            "verdict": self.verdict,
            "figures": [figure.as_dict() for figure in self.figures],
        }


def diagnose(
    vision: ConvVAE,
    memory: MDNRNN,
    actions: ActionSpec,
    frames: np.ndarray,
    episodes: Sequence[LatentEpisode],
    rewards: np.ndarray,
    agent: Score | None,
    random: Score | None,
    dream: Score | None,
) -> Diagnosis:
    """Look at every part.

    frames: uint8 [n, 64, 64, 3] and episodes as V saw them, best such that nothing was trained on
    rewards: of every step that was collected [N]
    """
    predictions = predict_heads(memory, actions, episodes)
    figures = [
        _figure("V", "undrawn", undrawn(vision, frames), UNDRAWN, "share of what moves that V does not draw", False),
        _figure(
            "M", "unforeseen", unforeseen(memory, actions, episodes), UNFORESEEN,
            "share of z's change in a step that M does not foresee", False,
        ),
        _figure(
            "M", "reward_explained", reward_explained(predictions), UNEXPLAINED,
            "share of the rewards' variance that M foresees, on episodes held out", True,
        ),
        _figure(
            "M", "ending_explained", ending_explained(predictions), UNEXPLAINED / 4,
            "share of the endings' entropy that M foresees, on episodes held out", True,
        ),
        _figure(
            "exploration", "rewarded", _rewarded(rewards, agent), 0.0,
            "share of the collected steps whose reward is not the usual one", True,
        ),
        _figure("C", "dream_gap", _gap(agent, random, dream), GAP, "what the dream promises beyond the world", False),
    ]  # fmt: skip
    learns = agent is not None and random is not None and _beats(agent, random)
    return Diagnosis(tuple(figures), learns, _verdict(figures, learns, agent, random, dream))


ADVICE = {
    "undrawn": "V does not see what moves: give V more updates (vision.updates), or vision.centred true",
    "rewarded": "exploration never met a reward: collect more, or with rounds (rounds.count, rounds.curiosity)",
    "unforeseen": "M does not foresee what happens: more real steps (collect.steps) and updates (memory.updates)",
    "reward_explained": "M does not foresee the reward: more real steps (collect.steps), more rounds (rounds.count)",
    "ending_explained": "M does not foresee the end: more real steps (collect.steps), more rounds (rounds.count)",
    "dream_gap": "C exploits the dream: more rounds (rounds.count), a shorter dream.horizon, an ensemble of Ms",
}


def _verdict(
    figures: Sequence[Figure], learns: bool, agent: Score | None, random: Score | None, dream: Score | None
) -> str:
    """One line, the first part in the flow of data that is to blame first."""
    faults = {figure.name: figure for figure in figures if not figure.ok}
    if agent is None or random is None:
        return "C has no score yet; finish the run"
    score = f"{agent.mean:.4g} where random play has {random.mean:.4g}"
    for name, advice in ADVICE.items():
        if name in faults and not learns:
            return f"C does not beat random play ({score}). {advice} [{name} {faults[name].value:.2g}]"
    if not learns:
        return f"C does not beat random play ({score}), and no part is far off: train C longer (phases)"
    if "dream_gap" in faults and dream is not None:
        return f"C learns ({score}), and its dream promises more ({dream.mean:.4g}). {ADVICE['dream_gap']}"
    return f"C learns: {score}"


def _figure(part: str, name: str, value: float | None, limit: float, what: str, more_is_well: bool) -> Figure:
    ok = value is None or (value > limit if more_is_well else value < limit)
    bound = f"{'above' if more_is_well else 'below'} {limit:g}"
    return Figure(part, name, value, ok, f"{what}; good {bound}")


def _rewarded(rewards: np.ndarray, agent: Score | None) -> float | None:
    """The share of steps whose reward differs from the commonest one."""
    if not len(rewards):
        return None
    _, counts = np.unique(rewards, return_counts=True)
    return float(1 - counts.max() / len(rewards))


def _beats(agent: Score, random: Score) -> bool:
    """Whether the means differ by more than two standard errors."""
    error = np.sqrt(agent.std**2 / agent.episodes + random.std**2 / random.episodes)
    return bool(agent.mean - random.mean > 2 * error)


def _gap(agent: Score | None, random: Score | None, dream: Score | None) -> float | None:
    """What the dream promises beyond the world, in units of the larger of the world's own scores and their spread."""
    if agent is None or random is None or dream is None:
        return None
    size = max(abs(agent.mean - random.mean), agent.std, random.std, 1e-9)
    return (dream.mean - agent.mean) / size
