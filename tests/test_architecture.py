"""The house's rules: imports point up the page, the command line stays light, nothing unpickles."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

import reverie

SOURCE = Path(reverie.__file__).parent

# A room may import the rooms before it, and itself.
ROOMS = [
    "errors",
    "hardware",
    "settings",
    "files",
    "native",
    "progress",
    "tracking",
    "workers",
    "worlds",
    "episodes",
    "vision",
    "memory",
    "controller",
    "feature_env",
    "agent",
    "dream",
    "play",
    "learning",
    "evaluation",
    "recipe",
    "agents",
    "report",
    "runs",
    "cost",
    "reproduction",
    "studies",
    "lab",
    "bench",
    "interface",
    "cli",
    "__main__",
]


def room_of(module: str) -> str:
    return module.split(".")[1]


def modules() -> list[Path]:
    return [path for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py"]


def imported_modules(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.append(node.module)
        elif isinstance(node, ast.Import):
            found.extend(name.name for name in node.names)
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_up_the_page(path: Path) -> None:
    here = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    assert here in ROOMS, f"{here} is a room that docs/explanation/architecture.md and this test do not know"
    for module in imported_modules(path):
        if module.startswith("reverie."):
            there = room_of(module)
            assert ROOMS.index(there) <= ROOMS.index(here), f"{here} imports {there}, which stands below it"


MOST_FILES = 12  # of a room, besides its __init__.py


def test_rooms_are_small_enough_to_look_over() -> None:
    rooms = {path.parent for path in modules()}
    counts = {str(room.relative_to(SOURCE)): len({*room.glob("*.py")} - {room / "__init__.py"}) for room in rooms}
    del counts["."]
    assert {room: count for room, count in counts.items() if count > MOST_FILES} == {}
    assert [str(room) for room in rooms if not (room / "__init__.py").exists()] == []  # else it would not be installed


def module_of(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def files_imported(tree: ast.AST, known: set[str]) -> set[str]:
    """The files of ours that code imports when it runs, at its top or within functions; not what types alone need."""
    found: set[str] = set()
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{name.name}" for name in node.names}
            found |= (names & known) or {node.module}
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        found |= files_imported(node, known)
    return found & known


def test_no_file_imports_itself_by_way_of_others() -> None:
    files = {module_of(path): path for path in modules()}  # without the package itself, which every file is in
    graph = {name: files_imported(ast.parse(path.read_text()), set(files)) - {name} for name, path in files.items()}
    try:
        order = list(graphlib.TopologicalSorter(graph).static_order())
    except graphlib.CycleError as error:
        pytest.fail(f"a circle of imports: {' -> '.join(error.args[1])}")
    assert len(order) == len(files)


# Tasks and results travel as pickles between our own processes, over a private pair of sockets or
# a cluster with its token; no file is read so.
TALKERS = ("pool.py", "worker.py", "process.py", "parcel.py", "cluster.py", "seat.py")
PROCESS_TALK = {SOURCE / "workers" / name for name in TALKERS}


@pytest.mark.parametrize("path", sorted(set(modules()) - PROCESS_TALK), ids=lambda path: str(path.relative_to(SOURCE)))
def test_nothing_unpickles(path: Path) -> None:
    assert not {"pickle", "dill", "cloudpickle", "joblib", "shelve"} & set(imported_modules(path))
    text = path.read_text()
    assert "torch.load(" not in text
    assert "allow_pickle=True" not in text


@pytest.mark.parametrize("module", ["reverie", "reverie.cli", "reverie.recipe.presets"])
def test_light_modules_leave_the_heavy_libraries_alone(module: str) -> None:
    heavy = ["torch", "cma", "vizdoom", "envpool", "matplotlib", "av", "blosc2", "gymnasium"]
    code = f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"


TESTS = Path(__file__).parent
PUBLIC_UNDERSCORES = {"_replace", "_asdict", "_fields", "_exit"}  # of named tuples and os
# Tests that still reach into a module; the list may only become shorter.
REACHING = {
    "worlds/test_doom.py",
    "worlds/test_doom_guard.py",
    "worlds/test_generic.py",
    "worlds/test_registry.py",
}


def is_private(name: object) -> bool:
    return isinstance(name, str) and name.startswith("_") and name[1:2] != "_" and name not in PUBLIC_UNDERSCORES


def private_names(tree: ast.AST) -> list[str]:
    """What reaches for a private name of somebody else: an attribute, an import, or a name or path to be patched."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            found += [ast.unparse(node)] if is_private(node.attr) and not own else []
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("reverie"):
            found += [name.name for name in node.names if is_private(name.name)]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr.endswith("attr"):
            words = [each.value for each in node.args if isinstance(each, ast.Constant)]
            found += [word for word in words if isinstance(word, str) and is_private(word.rpartition(".")[2])]
    return found


@pytest.mark.parametrize("path", sorted(TESTS.rglob("*.py")), ids=lambda path: str(path.relative_to(TESTS)))
def test_no_test_reaches_for_private_names(path: Path) -> None:
    found = private_names(ast.parse(path.read_text()))
    if str(path.relative_to(TESTS)) in REACHING:
        assert found, "it no longer does: take it off the list"
    else:
        assert not found


def test_private_names_are_found_however_they_are_reached_for() -> None:
    for line in ("store._entries", "from reverie.vision import _cells", 'patch.setattr(module, "_opened", 1)'):
        assert private_names(ast.parse(line)), line
    assert private_names(ast.parse('monkeypatch.setattr("reverie.files.arrays._hidden", 1)'))
    for line in (
        "self._entries",
        "cls._made",
        "row._replace(a=1)",
        "load.__wrapped__(1)",
        'setattr(a, "b", "_c d")[0]',
    ):
        assert not private_names(ast.parse(line)), line


# Training, scores and films know a FeatureEnv, whichever it is. Where its kind is asked for, by room: opening it,
# planning phases, and the rows of the reproduction. Words, colours and captions (report, model cards) do not count.
ASKING = {"interface": 2, "learning": 1, "bench": 2, "reproduction": 7}
KINDS = {"Dream", "FrameWorld", "SeenWorld", "FeatureVectorEnv", "WorldVectorEnv"}
WORDING = {"report/", "agents/model_card.py", "reproduction/page.py", "reproduction/figures.py"}


def questions(tree: ast.AST) -> list[str]:
    """Comparisons with "dream" or "world", and isinstance of a kind of env."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq | ast.NotEq):
            sides = [node.left, *node.comparators]
            if any(isinstance(side, ast.Constant) and side.value in ("dream", "world") for side in sides):
                found.append(ast.unparse(node))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance":
            kinds = KINDS & {name.id for name in ast.walk(node.args[1]) if isinstance(name, ast.Name)}
            found += [ast.unparse(node)] if kinds else []
    return found


def test_hardly_anybody_asks_whether_it_is_a_dream_or_a_world() -> None:
    asked: dict[str, list[str]] = {}
    for path in modules():
        name = str(path.relative_to(SOURCE))
        if not any(name.startswith(each) for each in WORDING):
            room = name.split("/")[0].removesuffix(".py")
            asked.setdefault(room, []).extend(questions(ast.parse(path.read_text())))
    found = {room: len(places) for room, places in asked.items() if places}
    assert found == ASKING, asked
    core = [count for room, count in found.items() if room not in ("bench", "reproduction")]
    assert sum(core) < 6
