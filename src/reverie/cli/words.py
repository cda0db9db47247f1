"""The words that each command takes: frozen dataclasses whose docstrings are its help, read by tyro."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import DisallowNone, FlagCreatePairsOff, Positional, arg

World = Annotated[Positional[str], arg(metavar="WORLD", help_behavior_hint="")]
RunPath = Annotated[Positional[Path], arg(metavar="RUN", help_behavior_hint="")]
AgentName = Annotated[Positional[Path], arg(metavar="RUN|NAME", help_behavior_hint="")]
Flag = Annotated[bool, FlagCreatePairsOff, arg(help_behavior_hint="")]
Workers = Annotated[
    str | None,
    DisallowNone,
    arg(
        metavar="{N,ray,ADDRESS}",
        help_behavior_hint="(default: one a core)",
        help="processes that play, dream and score; 0: only this one; ray, or the address of a Ray cluster: as many as "
        "it has cores. No result depends on it",
    ),
]
Device = Annotated[str, arg(metavar="{auto,cpu,cuda}")]
Start = Annotated[
    str | None, DisallowNone, arg(name="from", metavar="{pretrained,NAME,RUN}", help_behavior_hint="")
]  # `from` cannot be a field

PRESETS = "{tiny,quick,standard,paper}"


@dataclass(frozen=True)
class Run:
    """The words of `reverie run`."""

    world: World
    """doom (and doom-skill-1 to doom-skill-5, doom-repeat-4), carracing, tiny, climb or any Gymnasium id"""
    preset: Annotated[str | None, DisallowNone, arg(metavar=PRESETS, help_behavior_hint="(default: quick)")] = None
    """how large: tiny (seconds), quick (minutes), standard (an evening), paper (the paper's own counts)"""
    minutes: Annotated[float | None, DisallowNone, arg(metavar="M", help_behavior_hint="")] = None
    """how large: as much as this machine does in so many minutes; more minutes later add rounds"""
    real_steps: Annotated[int | None, DisallowNone, arg(metavar="N", help_behavior_hint="")] = None
    """how large: so many steps in the real world, all else in proportion; more steps later add rounds"""
    dry_run: Flag = False
    """say what the run would take, from about 20 seconds of measuring, and write nothing"""
    run_dir: Annotated[Path | None, DisallowNone, arg(metavar="DIR", help_behavior_hint="")] = None
    """the run folder, runs/WORLD-PRESET by default"""
    seed: int = 0
    """root of every random stream"""
    from_: Start = None
    """weights that V, M and C begin at: those that come with Reverie for this world, an agent's by name, or a run's"""
    data: Annotated[str | None, DisallowNone, arg(metavar="minari:NAME", help_behavior_hint="")] = None
    """learn from the episodes of this Minari data set, in place of playing the world at random"""
    json: Flag = False
    """print one JSON object on stdout and nothing else"""
    workers: Workers = None
    device: Device = "auto"
    """where V and M are trained"""
    track: Annotated[str | None, DisallowNone, arg(metavar="{tensorboard,MODULE:CLASS}", help_behavior_hint="")] = None
    """an experiment tracker to which the metrics go too"""


@dataclass(frozen=True)
class Stage:
    """The words of `reverie collect | vision | memory | controller`."""

    run: RunPath
    """the run folder; made first where --world is given and it is not there"""
    world: Annotated[str | None, DisallowNone, arg(metavar="WORLD", help_behavior_hint="")] = None
    """makes the run folder, for this world"""
    preset: Annotated[str | None, DisallowNone, arg(metavar=PRESETS, help_behavior_hint="(default: quick)")] = None
    """the new run folder's preset"""
    seed: Annotated[int | None, DisallowNone, arg(metavar="INT", help_behavior_hint="(default: 0)")] = None
    """the new run folder's root seed"""
    from_: Start = None
    """weights that the new run's V, M and C begin at"""
    round: int = 0
    """which round's stage, for runs with rounds; 0 is the first pass"""
    workers: Workers = None
    device: Device = "auto"
    """where V and M are trained"""


@dataclass(frozen=True)
class Evaluate:
    """The words of `reverie evaluate`."""

    run: AgentName
    """a run folder, an export, or the name of an agent that comes with Reverie"""
    episodes: int = 100
    """how many episodes"""
    seed: int = 0
    """root of the evaluation seeds, which training never sees"""
    dream: Flag = False
    """score in M's dream instead of the real world"""
    temperature: Annotated[float | None, DisallowNone, arg(metavar="TAU", help_behavior_hint="")] = None
    """how uncertain the dream is; by default as in training"""
    film: Annotated[Path | None, DisallowNone, arg(metavar="FILE", help_behavior_hint="")] = None
    """with --dream: film the agent falling asleep, beside the same episode awake (MP4)"""
    json: Flag = False
    """print one JSON object on stdout and nothing else"""
    workers: Workers = None


@dataclass(frozen=True)
class Reproduce:
    """The words of `reverie reproduce`."""

    experiment: Annotated[Positional[str], arg(metavar="{doom,carracing}", help_behavior_hint="")]
    """which of the paper's experiments"""
    preset: Annotated[str | None, DisallowNone, arg(metavar=PRESETS, help_behavior_hint="(default: standard)")] = None
    """how large: quick (under an hour), standard (an evening)"""
    run_dir: Annotated[Path | None, DisallowNone, arg(metavar="DIR", help_behavior_hint="")] = None
    """the main run, made where it is not there; runs/EXPERIMENT-PRESET by default"""
    episodes: int = 100
    """how many episodes each score is over"""
    seed: int = 0
    """root of the evaluation seeds, which training never sees"""
    json: Flag = False
    """print one JSON object on stdout and nothing else"""
    workers: Workers = None


@dataclass(frozen=True)
class Study:
    """The words of `reverie study`."""

    name: Annotated[Positional[str], arg(metavar="{curiosity,absorption,guards}", help_behavior_hint="")]
    """what is taken away to see what it is worth"""
    run_dir: Annotated[Path | None, DisallowNone, arg(metavar="DIR", help_behavior_hint="")] = None
    """where its runs are kept, runs/study-NAME by default"""
    seeds: int = 5
    """how many seeds, from 0 on"""
    weight: Annotated[float | None, DisallowNone, arg(metavar="W", help_behavior_hint="(default: 1)")] = None
    """of curiosity"""
    json: Flag = False
    """print one JSON object on stdout and nothing else"""
    workers: Workers = None
    device: Device = "auto"
    """where V and M are trained"""


@dataclass(frozen=True)
class Suite:
    """The words of `reverie suite`."""

    worlds: Annotated[Positional[tuple[str, ...]], arg(metavar="[WORLD ...]", help_behavior_hint="")] = ()
    """those to run now; all of the suite by default"""
    preset: Annotated[str, arg(metavar=PRESETS)] = "quick"
    """how large each run is"""
    seeds: Annotated[
        int | None, DisallowNone, arg(metavar="N", help_behavior_hint="(default: 3 or 1, by world, at quick; else 1)")
    ] = None
    """runs of each world, from seed 0 on"""
    dir: Annotated[Path, arg(metavar="DIR")] = Path("runs/suite")
    """where its runs, their results and the table are kept"""
    json: Flag = False
    """print one JSON object on stdout and nothing else"""
    workers: Workers = None
    device: Device = "auto"
    """where V and M are trained"""


@dataclass(frozen=True)
class Export:
    """The words of `reverie export`."""

    run: RunPath
    """a finished run folder"""
    to: Annotated[str, arg(metavar="{DIR,minari:NAME}", help_behavior_hint="")]
    """the folder to make, in place of an export that is there; minari:NAME: the episodes, as a Minari data set"""


@dataclass(frozen=True)
class Report:
    """The words of `reverie report`."""

    run: RunPath
    """a run folder"""


@dataclass(frozen=True)
class Lab:
    """The words of `reverie lab`."""

    run: AgentName
    """a run folder, an export, or the name of an agent that comes with Reverie"""
    beside: Annotated[Path | None, DisallowNone, arg(metavar="RUN", help_behavior_hint="")] = None
    """a second run of the same world, to compare with"""
    export: Annotated[Path | None, DisallowNone, arg(metavar="DIR", help_behavior_hint="")] = None
    """write static files to DIR, for any web server, instead of opening the page"""
    port: Annotated[int, arg(help_behavior_hint="(default: any free one)")] = 0
    """where on this machine the page is served"""
    no_browser: Flag = False
    """serve the page without opening a browser"""


@dataclass(frozen=True)
class Doctor:
    """The words of `reverie doctor`."""

    run: RunPath
    """a run folder"""
    json: Flag = False
    """print one JSON object on stdout and nothing else"""


@dataclass(frozen=True)
class Verify:
    """The words of `reverie verify`."""

    run: AgentName
    """a run folder, an export, or the name of an agent that comes with Reverie"""
    json: Flag = False
    """print one JSON object on stdout and nothing else"""


@dataclass(frozen=True)
class Worlds:
    """The words of `reverie worlds`."""

    check: Annotated[str | None, DisallowNone, arg(metavar="WORLD", help_behavior_hint="")] = None
    """open this world, play 20 random steps, and say what is known of it then"""
    picture: Annotated[Path | None, DisallowNone, arg(metavar="FILE", help_behavior_hint="(default: WORLD.png)")] = None
    """with --check: where its first and last frame go, as V sees them"""


@dataclass(frozen=True)
class Bench:
    """The words of `reverie bench`."""

    names: Annotated[Positional[tuple[str, ...]], arg(metavar="[NAME ...]", help_behavior_hint="")] = ()
    """cases, such as dream-doom, or dream for all that begin so; all of them by default"""
    json: Flag = False
    """print one JSON object on stdout and nothing else"""
