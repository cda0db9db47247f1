"""The run folder: one folder that explains itself and from which the same command goes on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import reverie
from reverie.errors import DamagedFileError, ReverieError
from reverie.files.atomic import CLOSED, NO_LINKS, read_json, read_object, sweep_all_temporary, write_json
from reverie.files.checkpoint import digest_of
from reverie.files.locks import lock
from reverie.learning.phases import Planned, planned
from reverie.recipe.experiment import Experiment, require_fit
from reverie.settings import differences, from_json, to_json
from reverie.workers.seeds import training_seeds
from reverie.worlds.registry import world_spec

FORMAT = 2
CONFIG, VERSIONS, TIMINGS, LOCK = "config.json", "versions.json", "timings.json", "lock"
COUNTS = "rounds.json"  # in the store: how many episodes each round ended with
PLAN = "plan.json"  # what --minutes or --real-steps came to, see `plans.py`
SELECTION = "selection.json"  # which round's C the run ends with
LIBRARIES = ("torch", "numpy", "gymnasium", "cma", "blosc2", "safetensors", "vizdoom", "envpool", "box2d")
SHOWN_DIFFERENCES = 4


@dataclass(frozen=True)
class RunFolder:
    """Where each stage of a run keeps its files, as one of its rounds sees them.

    round: 0 is the first pass; later rounds keep V, M and C in folders of their own
    """

    path: Path
    experiment: Experiment
    round: int = 0

    def at(self, number: int) -> RunFolder:
        """The same run as round `number` sees it."""
        if not 0 <= number <= self.experiment.rounds.count:
            raise ReverieError(f"round {number} of {self.path}; expected 0 to {self.experiment.rounds.count}")
        return replace(self, round=number)

    @property
    def plan(self) -> Experiment:
        """The settings of this round."""
        return self.experiment.in_round(self.round)

    @property
    def seed(self) -> int:
        """Root of this round's random streams."""
        if self.round == 0:
            return self.experiment.seed
        return training_seeds(self.experiment.seed, "round", self.round, count=1)[0]

    @property
    def is_last(self) -> bool:
        """Whether no round follows: what it ends with is what the run ends with."""
        return self.round == self.experiment.rounds.count

    def episodes_by(self, number: int, uncollected: int | None = None) -> int:
        """Real episodes in the store when the collecting of round `number` is done.

        Where steps are asked for, only collecting tells how many; before it has, `uncollected` is returned, and without
        one ReverieError is raised.
        """
        experiment = self.experiment
        if not (experiment.collect.steps or (number and experiment.rounds.steps)):
            return experiment.collect.episodes + number * experiment.rounds.episodes
        file = self.rollouts / COUNTS
        counts = read_object(file, "run `reverie collect` again") if file.exists() else {}
        count = counts.get(str(number))
        if count is None and uncollected is not None:
            return uncollected
        if count is None:
            raise ReverieError(
                f"round {number} of {self.path} is not collected (it is not in {COUNTS}); "
                f"run `reverie collect {self.path}` first"
            )
        if type(count) is not int or count < 1:
            raise DamagedFileError(
                f"{file} has {count!r:.50} for round {number}, expected a count; run `reverie collect` again"
            )
        return count

    def note_episodes(self, number: int, count: int) -> None:
        """Write down how many episodes are in the store when the collecting of round `number` is done."""
        file = self.rollouts / COUNTS
        counts = read_object(file, "run `reverie collect` again") if file.exists() else {}
        if counts.get(str(number)) != count:
            write_json(file, counts | {str(number): count})

    @property
    def chosen(self) -> RunFolder:
        """The run as the round sees it whose C it ends with; an earlier round of a run stays what it is."""
        file = self.path / SELECTION
        if not (self.is_last and self.round and file.exists()):
            return self
        number = read_object(file, "remove the file and run the same command again").get("chosen")
        if type(number) is not int or not 0 <= number <= self.round:
            raise DamagedFileError(f"{file} has chosen {number!r:.50}, expected 0 to {self.round}; remove the file")
        return self.at(number)

    @property
    def scored_episodes(self) -> int:
        """How many episodes this round's C is scored over."""
        before = None if self.is_last else self.experiment.rounds.evaluation_episodes
        return before or self.experiment.evaluation_episodes

    @property
    def rollouts(self) -> Path:
        """The store of real episodes."""
        return self.path / "rollouts"

    @property
    def vision(self) -> Path:
        """V's checkpoints and metrics."""
        return self._sees / "vision"

    @property
    def latents(self) -> Path:
        """The episodes' frames as V's latents."""
        return self._sees / "latents"

    @property
    def memory(self) -> Path:
        """M's checkpoints and metrics."""
        return self._folder(self.round) / "memory"

    @property
    def members(self) -> tuple[Path, ...]:
        """The folders of the Ms beside the first, where the dream has an ensemble."""
        return tuple(self.memory / f"member-{number}" for number in range(1, self.experiment.dream.ensemble_size))

    @property
    def controller(self) -> Path:
        """C's training: a folder for each phase, and the best parameters."""
        return self._folder(self.round) / "controller"

    @property
    def curious(self) -> Path:
        """The training of the C that plays half of this round out of curiosity, laid out as a phase's."""
        return self._folder(self.round) / "curious"

    @property
    def phases(self) -> list[Planned]:
        """The phases of C's training in this round."""
        return planned(self.experiment.phases, self.experiment.methods, self.round, self.experiment.rounds.count)

    @property
    def phase_folders(self) -> list[Path]:
        """Where they keep their checkpoints and metrics."""
        return [phase.folder(self.controller) for phase in self.phases]

    @property
    def scores(self) -> Path:
        """One JSON file for each score; those of the last round are the run's own."""
        return (self.path if self.is_last else self.path / f"round-{self.round}") / "scores"

    @property
    def report(self) -> Path:
        """The report, one HTML file."""
        return self.path / "report.html"

    @property
    def reproduced(self) -> Path:
        """The rows of `reverie reproduce`, a folder each, laid out as a run's own."""
        return self.path / "reproduce"

    @property
    def _sees(self) -> Path:
        """The folder of the last round that trained V."""
        return self._folder(self.round if self.experiment.rounds.vision_updates else 0)

    def _folder(self, number: int) -> Path:
        return self.path / f"round-{number}" if number else self.path

    @property
    def versions(self) -> dict[str, Any]:
        """What the run was made with; nothing where that file was removed."""
        file = self.path / VERSIONS
        return read_object(file, "restore it from a copy, or remove it") if file.exists() else {}

    @property
    def timings(self) -> dict[str, float]:
        """Wall seconds spent in each stage so far, over all sessions but those that were killed."""
        file = self.path / TIMINGS
        found = read_object(file) if file.exists() else {}
        for stage, seconds in found.items():
            if not isinstance(seconds, int | float) or isinstance(seconds, bool):
                raise DamagedFileError(
                    f"{file} has {seconds!r:.50} for {stage[:50]}, expected seconds; remove the file"
                )
        return found

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the wall time of a `with` block to `timings`, also when it is interrupted."""
        before, started = self.timings, time.monotonic()
        stage = f"{stage}, round {self.round}" if self.round else stage
        try:
            yield
        finally:
            seconds = before.get(stage, 0.0) + time.monotonic() - started
            write_json(self.path / TIMINGS, before | {stage: seconds})

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run for this process; a second process that asks for it gets a clear error."""
        with _lock(self.path):
            sweep_all_temporary(self.path)
            yield


def create_run(path: Path, experiment: Experiment) -> RunFolder:
    """Make the folder for `experiment`, or open it where it is already there with the same settings.

    Raises: ReverieError where the folder belongs to another experiment (the differences are named) or holds
    something else.
    """
    config = path / CONFIG
    if config.exists():
        return _reopen(path, experiment)
    require_free(path)
    require_fit(experiment, world_spec(experiment.world))
    _make_folder(path)
    with _lock(path):
        if not config.exists():  # else another process was faster
            write_json(path / VERSIONS, versions())
            _write_config(path, experiment)
    return _reopen(path, experiment)


def require_free(path: Path) -> None:
    """Refuse a folder that holds something else than a run."""
    if (path / CONFIG).exists() or not path.exists():
        return
    if not path.is_dir() or not all(map(_is_ours, path.iterdir())):
        raise ReverieError(f"{path} exists and is not a run folder; choose another run folder")


def _write_config(path: Path, experiment: Experiment) -> None:
    content = {"format": FORMAT, "reverie": reverie.__version__, "experiment": to_json(experiment)}
    write_json(path / CONFIG, content | {"digest": digest_of(content)})


def open_run(path: Path) -> RunFolder:
    """Open a run folder that is there, checking its format and every setting; as its last round sees it."""
    config = path / CONFIG
    if not config.is_file():
        raise ReverieError(f"{path} is not a run folder (no {CONFIG} in it); 'reverie run WORLD' makes one")
    content = read_json(config, "restore it from a copy, or start again in another folder")
    if not isinstance(content, dict) or "experiment" not in content:
        raise DamagedFileError(f"{config} does not hold a run's settings; restore it or start again in another folder")
    if content.get("format") != FORMAT:
        made_by = content.get("reverie", "an unknown version")
        raise ReverieError(
            f"run folder {path} has format {content.get('format')!r}, made by reverie {made_by}; reverie "
            f"{reverie.__version__} reads format {FORMAT}: use that version or start again in another folder"
        )
    if content.pop("digest", None) != digest_of(content):
        raise DamagedFileError(f"{config} was altered: its content does not match its digest; restore it from a copy")
    experiment = from_json(Experiment, content["experiment"], f"{config}: ")
    return RunFolder(path, experiment, experiment.rounds.count)


def versions() -> dict[str, Any]:
    """What the run was made with: Python, the machine, the libraries that are installed."""
    found: dict[str, Any] = {"reverie": reverie.__version__, "python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found | {"machine": platform.machine(), "system": platform.system(), "cores": os.cpu_count()}


def _reopen(path: Path, experiment: Experiment) -> RunFolder:
    """The run at `path`, which must be that of `experiment`, or it with fewer rounds: then it gets more."""
    found = open_run(path)
    if found.round < experiment.rounds.count and found.experiment == _with_rounds(experiment, found.round):
        return _extended(found, experiment)
    changed = list(differences(_told(found.experiment), _told(experiment)))
    if changed:
        more = len(changed) - SHOWN_DIFFERENCES
        shown = "; ".join(changed[:SHOWN_DIFFERENCES]) + (f"; and {more} more" if more > 0 else "")
        raise ReverieError(
            f"run folder {path} was made with other settings ({shown}); "
            f"repeat the command it was made with, or choose another run folder"
        )
    return found


def _told(experiment: Experiment) -> dict[str, Any]:
    """The settings for a reader: phases as words."""
    return to_json(experiment) | {"phases": [phase.word() for phase in experiment.phases]}


def _with_rounds(experiment: Experiment, count: int) -> Experiment:
    return replace(experiment, rounds=replace(experiment.rounds, count=count))


def _extended(run: RunFolder, experiment: Experiment) -> RunFolder:
    """The run with more rounds to go: what was its last round is one of several now, and so are its scores."""
    if run.reproduced.exists():
        raise ReverieError(
            f"{run.reproduced} holds a table of the run as it ended after round {run.round}; move it away to add rounds"
        )
    if any(phase.rounds == "last" for phase in run.experiment.phases) and any(run.controller.glob("*/step-*.json")):
        raise ReverieError(
            f"C of {run.path} has been through phases of the last round; choose another run folder for more rounds"
        )
    longer = RunFolder(run.path, experiment, run.round)
    with _lock(run.path):
        (run.path / SELECTION).unlink(missing_ok=True)  # the C that it ends with is another's to be
        for score in (run.scores / f"{name}.json" for name in ("agent", "dream")):
            if score.exists():
                longer.scores.mkdir(parents=True, exist_ok=True)
                score.rename(longer.scores / score.name)
        _write_config(run.path, experiment)  # last: killed before, it has the rounds that it had, and scores to take
    return open_run(run.path)


def _is_ours(file: Path) -> bool:
    """Whether a process killed while it made a run folder may have left this in it."""
    return file.name in (VERSIONS, LOCK, PLAN) or file.suffix == ".tmp"


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ReverieError(f"cannot make the run folder {path} ({error.strerror}); choose another run folder") from None


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold `path`/lock; the system gives it back when this process ends, however it ends."""
    try:
        file = os.open(
            path / LOCK, os.O_RDWR | os.O_CREAT | NO_LINKS | CLOSED, 0o644
        )  # to write, as network file systems want it
    except OSError as error:
        raise ReverieError(f"cannot write in {path} ({error.strerror}); allow writing there") from None
    try:
        _take(file, path)
        yield
    finally:
        os.close(file)


def _take(file: int, path: Path) -> None:
    try:
        lock(file, wait=False)
    except BlockingIOError:
        raise ReverieError(
            f"run folder {path} is in use by another process; wait for it, or choose another run folder"
        ) from None
