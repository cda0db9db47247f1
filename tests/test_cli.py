"""The command line as a person and as a script see it."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

import reverie
from reverie.cli import main
from reverie.cli import words as own_words
from reverie.cli.commands import COMMANDS
from reverie.cli.parse import print_help
from reverie.evaluation.score import Score
from reverie.files.atomic import read_json
from reverie.hardware import single_thread
from reverie.play.env_spec import close_envs
from reverie.recipe.experiment import Experiment
from reverie.recipe.listing import COMMAND_WORDS
from reverie.runs.opening import shipped
from reverie.runs.verify import verify_run
from reverie.settings import setting_types
from reverie.worlds.names import world_names
from tests.conftest import FinishedRun
from tests.small_runs import ENVIRONMENT, PHASES, ROOT, copy_run, flip, small_run, snapshot
from tests.small_runs import reverie as command

SCORE = {"world", "where", "temperature", "episodes", "seed", "mean", "std", "min", "max", "scores"}


@pytest.fixture(autouse=True)
def quiet_and_single_threaded(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("REVERIE_QUIET", "1")
    monkeypatch.setenv("COLUMNS", "100")
    with single_thread():
        yield
    close_envs()


def call(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, str, str]:
    """The exit code, stdout and stderr of a command run in this process."""
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    said = capsys.readouterr()
    assert isinstance(stop.value.code, int)
    return stop.value.code, said.out, said.err


ONE_OF = "expected one of " + ", ".join(COMMANDS)
BAD_WORDS = [
    ("rnu tiny", f"unknown command 'rnu', {ONE_OF}; did you mean 'run'?"),
    ("--foo", f"unknown command '--foo', {ONE_OF}"),
    # the command's own words
    ("run", "WORLD is missing; see reverie run --help"),
    ("evaluate", "RUN|NAME is missing; see reverie evaluate --help"),
    ("run tinny", "unknown world 'tinny'; did you mean 'tiny'? 'reverie worlds' lists them"),
    ("run CartPole-v9", "unknown world 'CartPole-v9'; did you mean 'CartPole-v1'? 'reverie worlds' lists them"),
    ("run zzz", "unknown world 'zzz'; 'reverie worlds' lists them"),
    (
        "run nowhere:Env-v0",
        "world 'nowhere:Env-v0' names module 'nowhere', which cannot be imported: No module named 'nowhere'",
    ),
    (
        "run tiny --preset tinny",
        "unknown preset 'tinny', expected one of tiny, quick, standard, paper; did you mean 'tiny'?",
    ),
    ("run tiny --preset zzz", "unknown preset 'zzz', expected one of tiny, quick, standard, paper"),
    ("run tiny --sed 3", "unknown option '--sed'; did you mean '--seed'?; see reverie run --help"),
    ("run tiny --run_dirr x", "unknown option '--run_dirr'; did you mean '--run-dir'?; see reverie run --help"),
    ("worlds --json", "unknown option '--json'; see reverie worlds --help"),
    ("reproduce", "{{doom,carracing}} is missing; see reverie reproduce --help"),
    ("reproduce tiny", "cannot reproduce 'tiny'; expected doom or carracing"),
    ("study greed", "cannot study 'greed'; expected one of curiosity, absorption, guards"),
    ("study curiosity --seeds 0", "--seeds is 0; expected at least 1"),
    ("study absorption --weight 1", "--weight is curiosity's; leave it out"),
    ("study curiosity --weight 0", "--weight is 0.0; expected a number above 0"),
    ("reproduce doom --episodes 0", "--episodes is 0; expected at least 1"),
    ("reproduce doom --seed -1", "--seed is -1; expected 0 or more"),
    ("reproduce doom --preset zzz", "unknown preset 'zzz', expected one of tiny, quick, standard, paper"),
    ("reproduce doom --run-dir {run}", "{run} is a run of 'tiny', expected doom; choose another run folder"),
    ("run tiny more", "'more' is one word too many; see reverie run --help"),
    ("run tiny --seed", "--seed has no value; see reverie run --help"),
    ("run tiny --seed x", "--seed cannot be 'x'; see reverie run --help"),
    ("run tiny --seed -1", "seed is -1, expected 0 or more"),
    ("run tiny --workers x", "--workers is 'x'; expected a number, ray, HOST:PORT or ray://HOST:PORT"),
    ("run tiny --data x", "--data is 'x'; expected minari:NAME, a Minari data set on this machine"),
    ("run tiny --track x", "--track is 'x'; expected tensorboard, or MODULE:CLASS for a tracker of your own"),
    ("run tiny --workers -1", "--workers is -1; expected 0 (this process) or more"),
    (
        "run tiny --phases ppo:dream",
        "phase 'ppo:dream' is not understood, expected METHOD:PLACE:UPDATES[:ROUNDS[:SETTING=VALUE,...]], such as "
        "ppo:dream:300",
    ),
    (
        "run tiny --phases ppo:space:3",
        "phase 'ppo:space:3' has place 'space', expected dream or world; a phase is "
        "METHOD:PLACE:UPDATES[:ROUNDS[:SETTING=VALUE,...]]",
    ),
    (
        "run tiny --phases cmaes:dream:3:all:sigmas=1",
        "phase 'cmaes:dream:3:all:sigmas=1' sets 'sigmas', expected one of population, episodes, sigma, max_steps, "
        "no_reward_timeout, rescore_every, rescore_episodes",
    ),
    ("run tiny --device gpu", "unknown device 'gpu'; expected auto or cpu"),
    ("run tiny --device cuda", "device 'cuda' was asked for, but no CUDA device is available; use --device cpu"),
    ("evaluate {run} --episodes 0", "--episodes is 0; expected at least 1"),
    ("evaluate {run} --temperature 2", "--temperature is a dream's; add --dream"),
    ("evaluate {run} --film x.mp4", "--film shows a dream; add --dream"),
    ("evaluate {run} --temperature hot", "--temperature cannot be 'hot'; see reverie evaluate --help"),
    ("evaluate {run} --dream --temperature 0", "dream.temperature is 0.0, expected a finite number above 0"),
    ("evaluate {run}/no", "{run}/no is not a run folder (no config.json in it); 'reverie run WORLD' makes one"),
    ("export {run}", "--to is missing; see reverie export --help"),
    ("run tiny --fro doom", "unknown option '--fro'; did you mean '--from'?; see reverie run --help"),
    ("run tiny --from {run}/no", "{run}/no is not a run folder (no config.json in it); 'reverie run WORLD' makes one"),
    (
        "run tiny --from pretrained",
        f"no agent 'tiny' comes with reverie {reverie.__version__} ({', '.join(shipped()) or 'none does yet'}); "
        "'reverie run tiny' makes one, named by its run folder, runs/tiny-quick",
    ),
    # settings
    ("run tiny --vision.updats 3", "unknown setting 'vision.updats'; did you mean 'vision.updates'?"),
    ("run tiny --vison.updates 3", "unknown setting 'vison.updates'; did you mean 'vision.updates'?"),
    ("run tiny --zzz.zzz 3", "unknown setting 'zzz.zzz'; 'reverie run WORLD --help-settings' lists them"),
    ("run tiny --vision.updates x", "vision.updates is 'x', expected a whole number"),
    ("run tiny --vision.updates=1.5", "vision.updates is '1.5', expected a whole number"),
    ("run tiny --vision.updates", "vision.updates has no values, expected one: a whole number"),
    ("run tiny --vision.updates 3 4", "vision.updates has 2 values, expected one: a whole number"),
    (
        "run tiny --vision.updates -4",
        "vision.updates is -4, expected a whole number of at least 0; change it in the configuration",
    ),
    ("run tiny --vision.min_lr x", "vision.min_lr is 'x', expected a number or none"),
    ("run tiny --memory.done_head maybe", "memory.done_head is 'maybe', expected true or false"),
    (
        "run tiny --controller.inputs x",
        "controller.inputs is 'x', expected 'z' or 'h' or 'c' or 'action' or 'survival'",
    ),
    ("run tiny --evaluation-episodes 0", "evaluation_episodes is 0, expected at least 1"),
    (
        "run tiny --collect.policies held heldd",
        "collect.policies is ['held', 'heldd'], expected names out of uniform, held, turning, long-held, sweep, "
        "brownian, random-network; change it in the configuration",
    ),
    ("run tiny --memory.latent_size 9", "unknown setting 'memory.latent_size'; did you mean 'memory.batch_size'?"),
    (
        "run tiny --memory.reward_head false",
        "memory.reward_head is False, and no dream of tiny goes without; set it, or let all phases take place in the "
        "world",
    ),
    (
        "evaluate {run} --vision.updates 3",
        "--vision.updates is a setting of a run, which 'reverie run' or a stage makes; see reverie evaluate --help",
    ),
    ("memory {run} --vision.updates 3", "--vision.updates is for a new run; add --world WORLD, or leave it out"),
    ("memory {run} --preset paper", "--preset is for a new run; add --world WORLD, or leave it out"),
    ("memory {run} --phases ppo:world:1", "--phases is for a new run; add --world WORLD, or leave it out"),
    (
        "memory {run} --help-settings",
        "the settings of which world? 'reverie run WORLD --help-settings' lists them",
    ),
]


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])  # tyro draws other boxes around what it says
@pytest.mark.parametrize("words", ["run", "run tiny --seed", "run tiny --seed x", "run tiny --workers x"])
def test_complaints_are_the_same_on_any_terminal(words: str, encoding: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "reverie", *words.split()],
        cwd=ROOT,
        env=ENVIRONMENT | {"PYTHONIOENCODING": encoding, "COLUMNS": "22"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"reverie: {dict(BAD_WORDS)[words]}\n"


@pytest.mark.parametrize(("words", "message"), BAD_WORDS, ids=[words for words, _ in BAD_WORDS])
def test_words_that_are_wrong_get_one_line_and_harm_nothing(
    words: str,
    message: str,
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.chdir(tmp_path)  # where runs/ would be made
    before = snapshot(finished)
    code, out, err = call(capsys, *words.format(run=finished).split())
    assert (code, out, err) == (2, "", f"reverie: {message.format(run=finished)}\n")
    assert list(tmp_path.iterdir()) == []
    assert snapshot(finished) == before


def test_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--help"], []):
        code, out, err = call(capsys, *words)
        assert (code, err) == (0, "")
        assert re.findall(r"^  (\w+)  ", out, re.MULTILINE) == list(COMMANDS)
    assert call(capsys, "--version") == (0, f"reverie {reverie.__version__}\n", "")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = call(capsys, name, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"usage: reverie {name} ")
    assert COMMANDS[name].summary.split()[0] in out
    assert ("reverie run WORLD --preset PRESET --help-settings" in out) == COMMANDS[name].takes_settings


def test_help_names_every_world_and_what_workers_may_be(capsys: pytest.CaptureFixture[str]) -> None:
    for name in COMMANDS:
        said = " ".join(call(capsys, name, "--help")[1].replace("│", " ").split())
        assert "--workers" not in said or "ray, or the address of a Ray cluster" in said, name
        if name == "run":
            assert all(world in said for world in (*world_names(), "doom-skill-1 to doom-skill-5"))


def test_no_words_of_help_are_broken_where_the_source_is() -> None:
    notes = re.findall(r'^    """(.*?)"""', Path(own_words.__file__).read_text(), re.MULTILINE | re.DOTALL)
    assert len(notes) > 50
    assert [note for note in notes if "\n" in note] == []


def test_every_setting_is_listed_on_request_with_its_value(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "run", "tiny", "--preset", "tiny", "--memory.updates", "77", "--help-settings")
    assert code == 0
    short = call(capsys, "run", "tiny", "--help")[1]
    assert len(short.splitlines()) < 60 < len(out.splitlines())
    listed = dict(re.findall(r"^  --(\S+) (.+)$", out.partition("settings of tiny")[2], re.MULTILINE))
    assert list(listed) == [name for name in setting_types(Experiment) if name not in COMMAND_WORDS]
    assert listed["memory.updates"] == "77"
    assert listed["memory.survival_head"] == "none"
    assert listed["collect.policies"] == "held uniform brownian"
    assert "      Adam steps in all." in out


def test_worlds(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = call(capsys, "worlds")
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()] == ["doom", "carracing", "tiny", "climb", "Any"]


def test_the_commands_of_a_stage_say_that_they_are_done(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = copy_run(finished, tmp_path / "run")
    before = snapshot(run)
    for stage in ("collect", "vision", "memory", "controller"):
        assert call(capsys, stage, run, "--workers", "0") == (0, f"{stage}: done, in {run}\n", "")
    changed = {name for name, stat in snapshot(run).items() if before.get(name) != stat}
    # what is done is not done again: only the time it took and the logs' own renewal, which changes no row
    assert changed <= {
        "timings.json",
        "memory/metrics.jsonl",
        *(f"controller/{phase}/metrics.jsonl" for phase in PHASES),
        "controller/best.safetensors",
    }


def test_a_stage_makes_the_run_that_it_begins(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    words = [
        "collect",
        run,
        "--world",
        "tiny",
        "--preset",
        "tiny",
        "--seed",
        "5",
        "--collect.episodes",
        "3",
        "--workers",
        "0",
    ]
    assert call(capsys, *words) == (0, f"collect: done, in {run}\n", "")
    experiment = read_json(run / "config.json")["experiment"]
    assert (experiment["world"], experiment["seed"], experiment["collect"]["episodes"]) == ("tiny", 5, 3)
    assert len(list((run / "rollouts" / "episodes").iterdir())) == 3


def test_run_prints_one_json_object(finished_run: FinishedRun) -> None:
    process, run = finished_run.process, finished_run.path
    assert process.returncode == 0
    assert process.stdout.count("\n") == 1
    result = json.loads(process.stdout)
    assert result.keys() >= {"run_dir", "world", "preset", "seconds", "peak_memory_mb", "score", "random"}
    assert (result["run_dir"], result["world"], result["preset"]) == (str(run), "tiny", "tiny")
    assert 0.5 < result["seconds"] < 300
    assert 100 < result["peak_memory_mb"] < 8000
    assert result["score"] == read_json(run / "scores" / "agent.json")
    assert result["score"].keys() == SCORE
    assert result["random"] == {name: read_json(run / "scores" / "random.json")[name] for name in ("mean", "std")}
    assert result["report"] == str(run / "report.html")
    assert "1/6 collect: play the world at random\n" in process.stderr
    assert "6/6 report: the report\n" in process.stderr


def test_run_again_prints_the_table(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = copy_run(finished, tmp_path / "run")
    code, out, err = call(capsys, *small_run(run))
    assert (code, err) == (0, "")
    score = Score.from_dict(read_json(run / "scores" / "agent.json"))
    assert re.search(rf"agent +│ +{score.mean:.1f} ± {score.std:.1f} ", out)
    assert re.search(r"random policy +│", out)
    assert f"\nreport: {run}/report.html\n" in out


@pytest.mark.parametrize(
    ("words", "temperature"), [([], None), (["--dream"], 1.0), (["--dream", "--temperature", "1.3"], 1.3)]
)
def test_evaluate_prints_one_json_object(
    words: list[str], temperature: float | None, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = snapshot(finished)
    code, out, err = call(capsys, "evaluate", finished, "--episodes", "12", *words, "--json", "--workers", "0")
    assert (code, err, out.count("\n")) == (0, "", 1)
    result = json.loads(out)
    assert result.keys() == SCORE | {"random"}
    assert result["random"] == {name: read_json(finished / "scores" / "random.json")[name] for name in ("mean", "std")}
    assert (result["temperature"], result["where"]) == (temperature, "dream" if words else "world")
    assert len(result["scores"]) == result["episodes"] == 12
    if temperature != 1.3:  # the run's own score is over as many episodes of the same seed
        own = read_json(finished / "scores" / ("dream.json" if words else "agent.json"))
        assert {name: result[name] for name in SCORE} == own
    assert snapshot(finished) == before


def test_evaluate_films_the_agent_asleep(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "films" / "asleep.mp4"
    words = ("--episodes", "2", "--dream", "--temperature", "0.5", "--film", file, "--workers", "0")
    code, out, _ = call(capsys, "evaluate", finished, *words)
    assert code == 0
    assert "agent in its dream, tau 0.5" in out
    assert file.read_bytes()[4:8] == b"ftyp"


def test_evaluate_on_other_seeds_and_as_a_table(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "evaluate", finished, "--episodes", "5", "--seed", "1", "--workers", "0")
    assert code == 0
    assert re.search(r"agent +│ +[\d.]+ ± [\d.]+ │ +[\d.]+ │ +[\d.]+ │ +5 │", out)
    first = read_json(finished / "scores" / "agent.json")
    assert f"{first['mean']:.1f} ± {first['std']:.1f}" not in out


def test_an_export_takes_the_place_of_its_run(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "mine"
    code, out, err = call(capsys, "export", finished, "--to", place)
    assert (code, err) == (0, "")
    assert re.fullmatch(rf"{place}: [\d.]+ MB; the agent of {finished} scored .+\nreverie evaluate {place}\n", out)
    assert call(capsys, "verify", place) == (0, f"{place}: ok, every file is as it was written\n", "")
    results = []
    for source in (finished, place):
        code, out, err = call(capsys, "evaluate", source, "--episodes", "6", "--dream", "--json", "--workers", "0")
        assert (code, err) == (0, "")
        results.append(json.loads(out))
    assert results[1]["scores"] == pytest.approx(results[0]["scores"], rel=0.05, abs=0.05)
    assert results[1]["random"] == results[0]["random"]
    flip(place / "vision.safetensors")
    code, out, err = call(capsys, "evaluate", place)
    assert (code, out) == (2, "")
    assert err.startswith(f"reverie: {place}/vision.safetensors is truncated or altered: ")
    assert err.count("\n") == 1


def test_verify(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(capsys, "verify", finished) == (0, f"{finished}: ok, every file is as it was written\n", "")
    assert call(capsys, "verify", finished, "--json") == (0, '{"ok": true, "problems": []}\n', "")
    run = copy_run(finished, tmp_path / "run")
    flip(run / "memory" / "step-00000012.safetensors")
    file = str(run / "memory" / "step-00000012.safetensors")
    problem = "is truncated or altered: step-00000012.json gives another SHA-256"
    remedy = "remove step-00000012.json to go on from step-00000011"
    assert call(capsys, "verify", run) == (2, f"{file}: {problem}; {remedy}\n", "")
    code, out, _ = call(capsys, "verify", run, "--json")
    assert (code, out.count("\n")) == (2, 1)
    assert json.loads(out) == {"ok": False, "problems": [{"file": file, "problem": problem, "remedy": remedy}]}


def test_what_libraries_print_does_not_reach_stdout(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from reverie.worlds import registry

    def chatty() -> str:
        print("Hello from a library")
        subprocess.run([sys.executable, "-c", "print('and from what it starts')"], check=True)
        return "doom"

    monkeypatch.setattr(registry, "describe", chatty)
    with pytest.raises(SystemExit):
        main(["worlds"])
    said = capfd.readouterr()
    assert said.out == "doom\n"
    assert "Hello from a library\n" in said.err
    assert "and from what it starts\n" in said.err


def test_ctrl_c_stops_cleanly_and_says_how_to_go_on(tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = [*small_run(run, collect__episodes=100_000), "--workers", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "reverie", *words], cwd=ROOT, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True
    )
    manifest = run / "rollouts" / "manifest.jsonl"
    while not (manifest.exists() and manifest.stat().st_size > 0) and process.poll() is None:
        time.sleep(0.05)
    helpers = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.splitlines()[-1] == "reverie: stopped; the same command goes on from here"
    assert "Traceback" not in said
    _, alive = psutil.wait_procs(helpers, timeout=20)
    assert helpers
    assert not alive
    assert verify_run(run) == []


def cpu_seconds(*words: str) -> float:
    """Processor time of a child process, which other work on the machine hardly changes: the best of three."""

    def once() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *words], check=True, capture_output=True, cwd=ROOT, env=ENVIRONMENT)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    return min(once() for _ in range(3))


def test_import_and_help_are_fast() -> None:
    assert cpu_seconds("-c", "import reverie") < 0.15
    assert cpu_seconds("-m", "reverie", "--help") < 0.4
    assert cpu_seconds("-m", "reverie", "run", "--help") < 0.6


def test_both_ways_to_call_it_are_one(finished: Path) -> None:
    script = subprocess.run(
        [str(Path(sys.executable).with_name("reverie")), "worlds"], capture_output=True, text=True, check=True
    )
    assert script.stdout == command("worlds").stdout != ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_result_that_cannot_be_printed_is_one_line() -> None:
    program = [sys.executable, "-m", "reverie", "worlds"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(program, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    expected = "reverie: cannot print the result: No space left on device; make room where it goes to\n"
    assert (done.returncode, done.stderr) == (2, expected)


@pytest.mark.parametrize("closed", ["1", "2"])
def test_streams_that_are_closed_are_no_matter(closed: str) -> None:
    command = f"exec {closed}>&-; exec {sys.executable} -m reverie worlds"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert ("carracing" in done.stdout) == (closed == "2")


def test_help_in_a_terminal_of_one_column_ends(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "1")
    print_help(own_words.Evaluate, "reverie evaluate", "Score an agent.")
    assert "--episodes" in capsys.readouterr().out
    assert os.environ["COLUMNS"] == "1"
