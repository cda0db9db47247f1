"""MODEL_CARD.md: the facts of `card.json` for a reader."""

from __future__ import annotations

from reverie.agents.card import Card
from reverie.evaluation.score import Score
from reverie.learning.phases import in_words
from reverie.recipe.experiment import Experiment

SCORES = {"agent": "the agent, in the real world", "random": "random policy, in the real world"}

TEXT = """\
# {name}: an agent for `{world}`

V, M and C of one run of Reverie {reverie}, exported on {made}. `card.json` beside this file holds every figure below,
all settings and each episode's return.

`reverie.load("{name}")` in Python, `reverie evaluate {name}` in a terminal; where this folder did not come with Reverie
itself, its path takes the place of the name.

## Scores

| | mean ± std | episodes | seed of the episodes |
|---|---|---|---|
{scores}

The ± is the standard deviation over episodes, on seeds that training never saw. Measured with the run's own float32
weights; those here are rounded to float16, so that single episodes may go otherwise.

## Data and training

```
{command}
```

- {real_steps:,} steps in the real world were learned from{beyond}: exploration{rounds}{training}.
- Every random stream derives from the root seed {seed}.
- C was trained by {how}.
- Wall time: {seconds}.
- Made with: {versions}.

## Files

| file | holds | SHA-256 |
|---|---|---|
| `vision.safetensors` | V, {vision:,} parameters, float16 | `{vision_sha}` |
| `memory.safetensors` | M, {memory:,} parameters, float16 | `{memory_sha}` |
| `controller.safetensors` | C, {controller:,} parameters, float64 | `{controller_sha}` |
| `starts.safetensors` | {starts:,} first frames as V's latents, float16: where dreams begin | `{starts_sha}` |

## Limits

- One run from one seed: another seed's agent scores otherwise.
- It knows frames and actions of `{world}` as Reverie's world of that name gives them (64x64 RGB), and nothing else.
- V shows what the run's episodes showed; M dreams on plausibly where nobody has been, and wrongly.
- A score in the dream says what M believes. Where it is far above the real one, C has found what M does not know.
- For research and play. Nothing here was made to act where a wrong action costs anything.
"""


def model_card(card: Card) -> str:
    """The card as Markdown."""
    experiment = card.experiment
    awake = any(phase.place == "world" for phase in experiment.phases)
    return TEXT.format(
        name=card.name,
        world=experiment.world,
        reverie=card.reverie,
        made=card.made,
        scores="\n".join(_row(name, score) for name, score in sorted(card.scores.items(), key=_rank)),
        command=card.command,
        real_steps=card.real_steps,
        beyond="" if experiment.start_from is None else ", beyond those of the weights that it began at",
        rounds=f", {count} round{'s' * (count > 1)} of C's own play" if (count := experiment.rounds.count) else "",
        training=" and C's training" * awake,
        seed=experiment.seed,
        how=_how(experiment),
        seconds="; ".join(f"{stage} {seconds:,.0f} s" for stage, seconds in card.seconds.items()),
        versions=", ".join(f"{name} {version}" for name, version in card.versions.items()),
        starts=card.starts,
        **card.parameters,
        **{f"{file.partition('.')[0]}_sha": digest for file, digest in card.sha256.items()},
    )


def _how(experiment: Experiment) -> str:
    """What trained C, and how uncertain the dreams were that it learned in."""
    how = in_words(experiment.phases) or "no phase, and is what it began with"
    return f"{how}, at temperature {experiment.dream.temperature:g}" if experiment.trains_in_dream else how


def _row(name: str, score: Score) -> str:
    place = "the real world" if score.temperature is None else f"its dream at temperature {score.temperature:g}"
    what = SCORES.get(name, f"{name}, in {place}" if name != "dream" else f"the agent, in {place}")
    return f"| {what} | {score.mean:.1f} ± {score.std:.1f} | {score.episodes} | {score.seed} |"


def _rank(item: tuple[str, Score]) -> tuple[int, str]:
    """The agent and its baseline first."""
    order = list(SCORES)
    return (order.index(item[0]) if item[0] in order else len(order), item[0])
