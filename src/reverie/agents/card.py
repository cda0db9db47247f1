"""An exported agent's card: what it is, where it came from, what it scored, the digests of its files.

vision.safetensors, memory.safetensors    weights at half precision
controller.safetensors                    C's parameters, float64
starts.safetensors                        the first frames of at most 1,000 episodes as V's latents
card.json                                 this card, written last
MODEL_CARD.md                             the same facts for a reader
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_origin, get_type_hints

import reverie
from reverie.errors import DamagedFileError, ReverieError
from reverie.evaluation.score import Score
from reverie.files.atomic import read_object, sha256, write_json
from reverie.files.checkpoint import digest_of
from reverie.recipe.experiment import Experiment
from reverie.settings import from_json, to_json


@dataclass(frozen=True)
class Parts:
    """Where V, M, C and the starts of dreams are.

    vision, memory: a folder of checkpoints, or a file of weights
    controller: C's file
    starts: a folder of latents, or a file of first frames
    """

    vision: Path
    memory: Path
    controller: Path
    starts: Path


FORMAT = "reverie-export-2"
CARD, MODEL_CARD = "card.json", "MODEL_CARD.md"
TENSOR_FILES = tuple(f"{field.name}.safetensors" for field in fields(Parts))
RESTORE = "restore the folder from a copy, or export it again"


@dataclass(frozen=True, repr=False)
class Card:
    """What an exported agent says of itself.

    name: of the folder when it was made; made: the day (UTC); reverie: the version that made it
    command: makes such a run again; experiment: its settings
    parameters: how many V, M and C have; starts: how many first frames dreams begin at
    scores: of the run's own weights, before they were rounded: the agent's, the random policy's, in the dream
    real_steps: taken in the real world to learn from; seconds: wall time of each stage; versions: of what made the run
    sha256: of each file of tensors
    """

    name: str
    made: str
    reverie: str
    command: str
    experiment: Experiment
    parameters: dict[str, int]
    starts: int
    scores: dict[str, Score]
    real_steps: int
    seconds: dict[str, float]
    versions: dict[str, Any]
    sha256: dict[str, str]

    def __repr__(self) -> str:
        return f"Card({self.name}, {self.experiment.world}, made={self.made}, scores={self.scores})"

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        plain = {field.name: getattr(self, field.name) for field in fields(self)}
        plain["experiment"] = to_json(self.experiment)
        plain["scores"] = {name: score.as_dict() for name, score in self.scores.items()}
        return {"format": FORMAT, "world": self.experiment.world, **plain}


def write_card(folder: Path, card: Card) -> None:
    """Write `card.json`, with a digest of itself."""
    content = card.as_dict()
    write_json(folder / CARD, {**content, "digest": digest_of(content)})


def read_card(folder: Path, remedy: str = RESTORE) -> Card:
    """The card in `folder`; raises DamagedFileError, ending in `remedy`, where it is not as it was written."""
    file = folder / CARD
    _require_no_link(file)
    content = read_object(file, remedy)
    if content.get("format") != FORMAT:
        made_by = str(content.get("reverie", "an unknown version"))[:50]
        raise ReverieError(
            f"{file} has format {content.get('format')!r:.50}, made by reverie {made_by}; reverie "
            f"{reverie.__version__} reads {FORMAT!r}: use that version, or export the run again"
        )
    if content.pop("digest", None) != digest_of(content):
        raise DamagedFileError(f"{file} was altered: its content does not match its digest; {remedy}")
    return _parsed(content, file, remedy)


def faults(folder: Path, card: Card, remedy: str = RESTORE) -> Iterator[ReverieError]:
    """One for each file of tensors that is not the one that the card names."""
    for name in TENSOR_FILES:
        file = folder / name
        try:
            _require_no_link(file)
            if sha256(file, remedy) != card.sha256[name]:
                yield DamagedFileError(f"{file} is truncated or altered: {CARD} gives another SHA-256; {remedy}")
        except ReverieError as error:  # missing, a link, not to be read
            yield error


def _require_no_link(file: Path) -> None:
    if file.is_symlink():
        raise DamagedFileError(
            f"{file} is a link, as in the cache of a model hub, expected a regular file; take a copy without links: "
            f"cp -rL {shlex.quote(str(file.parent))} COPY"
        )


def parts_in(folder: Path) -> Parts:
    """The files of an export."""
    return Parts(*(folder / name for name in TENSOR_FILES))


def _parsed(content: Mapping[str, Any], file: Path, remedy: str) -> Card:
    experiment = from_json(Experiment, content.get("experiment"), f"{file}: ")
    try:
        scores = {name: Score.from_dict(score, f"its score {name!r}") for name, score in content["scores"].items()}
        found = {field.name: content[field.name] for field in fields(Card)}
        found |= {"experiment": experiment, "scores": scores}
        for name, kind in get_type_hints(Card).items():
            if not isinstance(found[name], get_origin(kind) or kind):
                raise ValueError(f"its {name} is {found[name]!r}")
        if content["world"] != experiment.world or set(found["sha256"]) != set(TENSOR_FILES):
            raise ValueError("its parts contradict each other")
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DamagedFileError(f"{file} is not the card of an agent ({error!s:.300}); {remedy}") from None
    return Card(**found)
