"""What the pool's tests have workers do; light to import, since each worker does."""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from reverie.workers.patience import patience

CACHE: list[int] = []


def square(number: int) -> int:
    return number * number


def square_slowly(number: int) -> int:
    time.sleep(0.2 - 0.05 * number)
    return number * number


def process(_: object) -> tuple[int, int]:
    return os.getpid(), os.getppid()


def surroundings(_: object) -> dict[str, Any]:
    threads = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "BLOSC_NTHREADS")}
    return {"modules": set(sys.modules), "path": sys.path, "threads": threads}


def product(seed: int) -> tuple[int, bytes]:
    """The number of threads of torch, and a product large enough that their number shows in its bits."""
    import torch

    x = torch.randn(300, 700, generator=torch.Generator().manual_seed(seed))
    return torch.get_num_threads(), (x @ x.T).numpy().tobytes()


def remember(number: int) -> list[int]:
    CACHE.append(number)
    return CACHE


def once(folder_and_name: tuple[Path, str]) -> bool:
    """True for the first caller of this name."""
    folder, name = folder_and_name
    try:
        (folder / name).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def die_once(task: tuple[Path, int]) -> int:
    folder, number = task
    if once((folder, str(number))):
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def hang_once(task: tuple[Path, int]) -> int:
    folder, number = task
    if once((folder, str(number))):
        time.sleep(600)
    return number * number


def hang_once_in_a_call(path: Path) -> int:
    """The number of the process that comes through; the first one hangs, as in a simulator."""
    if once((path.parent, path.name)):
        hang_in_a_call(path)
    return os.getpid()


def hang_in_a_call(_: object) -> None:
    with patience(0.2):
        time.sleep(600)


def interrupt(_: object) -> tuple[int, int]:
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getppid(), signal.SIGINT)
    return process(_)


def leave(code: int) -> None:
    os._exit(code)


def signal_self(number: int) -> None:
    os.kill(os.getpid(), number)


def hang(_: object) -> None:
    time.sleep(600)


class PickyError(Exception):
    """Its pickle cannot be loaded: it needs two arguments and keeps one."""

    def __init__(self, world: str, seed: int) -> None:
        super().__init__(world)


def fail(kind: str) -> None:
    if kind == "picky":
        raise PickyError("doom", 3)
    if kind == "local":
        raise type("LocalError", (Exception,), {})("made here")
    if kind == "value":
        raise ValueError("no such thing")


def fail_or_hang(kind: str) -> None:
    if kind == "hang":
        time.sleep(600)
    time.sleep(0.3)
    fail(kind)


def unpicklable(_: object) -> Any:
    return lambda: None


def say(text: str) -> None:
    print(text)


def reverse(data: bytes) -> bytes:
    return data[::-1]


def tidy_at_exit(path: Path) -> None:
    atexit.register(path.write_text, "tidy")


def start_engine(path: Path) -> tuple[int, int, int]:
    """Start a process that would outlive us, as a game engine does; (engine, worker, keeper), also at `path`."""
    engine = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    numbers = engine.pid, os.getpid(), os.getppid()
    temporary = path.with_name(f"{path.name}-{os.getpid()}")
    temporary.write_text(" ".join(map(str, numbers)))
    temporary.rename(path)
    return numbers


def start_engine_and_hang(path: Path) -> None:
    start_engine(path)
    time.sleep(600)


def start_engine_and_die(path: Path) -> None:
    start_engine(path)
    os.kill(os.getpid(), signal.SIGKILL)


def read_below(folder: Path) -> tuple[bytes, Path]:
    return (folder / "weights").read_bytes(), folder


def hang_at_two(task: tuple[Path, int]) -> int:
    return hang_once(task) if task[1] == 2 else task[1] ** 2


def where(seconds: float) -> tuple[float, str]:
    import ray

    time.sleep(seconds)
    return seconds, ray.get_runtime_context().get_node_id()
