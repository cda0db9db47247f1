"""What the machine offers, and how many threads compute."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from reverie import hardware
from reverie.errors import ReverieError
from reverie.hardware import core_count, pin_threads, resolve_device, single_thread, thread_count


def test_cores_are_those_that_this_process_may_use() -> None:
    program = "import os; os.sched_setaffinity(0, {0}); from reverie.hardware import core_count; print(core_count())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"
    assert 1 <= core_count() <= (os.cpu_count() or 1)


@pytest.fixture
def threads() -> object:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
def test_threads_are_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    pin_threads(3)
    assert torch.get_num_threads() == 3
    monkeypatch.setattr(hardware, "core_count", lambda: 2)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    pin_threads()
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize(("said", "threads"), [("3", 3), ("0", 2), ("many", 2)])
def test_the_environment_says_how_many_threads(said: str, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "core_count", lambda: 2)
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert thread_count() == threads


@pytest.mark.usefixtures("threads")
def test_one_thread_for_a_while() -> None:
    pin_threads(2)
    environment = dict(os.environ)
    with contextlib.suppress(KeyError), single_thread():
        assert torch.get_num_threads() == 1
        raise KeyError
    assert torch.get_num_threads() == 2
    assert dict(os.environ) == environment


def test_one_thread_where_torch_comes_later() -> None:
    program = """
import os, sys
from reverie.hardware import single_thread
os.environ["OMP_NUM_THREADS"] = "3"
os.environ.pop("MKL_NUM_THREADS", None)
with single_thread():
    assert "torch" not in sys.modules
    import torch
    print(torch.get_num_threads())
print(torch.get_num_threads(), os.environ["OMP_NUM_THREADS"], "MKL_NUM_THREADS" in os.environ)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n3 3 False\n"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gpu", "unknown device 'gpu'; expected auto or cpu"),
        ("cuda", "device 'cuda' was asked for, but no CUDA device is available; use --device cpu"),
    ],
)
def test_devices_that_are_not_there(name: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ReverieError) as caught:
        resolve_device(name)
    assert str(caught.value) == message
    assert resolve_device() == resolve_device("cpu") == torch.device("cpu")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="tunes glibc")
def test_memory_that_was_freed_is_kept() -> None:
    program = (
        "import resource, sys; from reverie.hardware import keep_freed_memory\n"
        "if sys.argv[1] == 'keep': keep_freed_memory()\n"
        "faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "bytearray(b'x') * 2**26; before = faults(); bytearray(b'x') * 2**26; print(faults() - before)"
    )
    faults = [
        int(subprocess.run([sys.executable, "-c", program, mode], capture_output=True, text=True, check=True).stdout)
        for mode in ("keep", "give back")
    ]
    assert faults[0] < 100 < faults[1]  # 64 MB are 16,384 pages of 4 kB, or 32 of 2 MB


QUOTAS = [
    ({"cpu.max": "100000 100000"}, 1),
    ({"cpu.max": "150000 100000"}, 2),
    ({"cpu.max": "max 100000"}, 16),
    ({"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "100000"}, 2),
    ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 16),
    ({}, 16),
]


@pytest.mark.parametrize(("files", "cores"), QUOTAS)
def test_a_containers_quota_counts(
    files: dict[str, str], cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "CGROUP", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)), raising=False)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    assert core_count() == cores


@pytest.mark.parametrize(("words", "threads"), [("4,2", 4), (" 3", 3), ("0", None), ("-1", None), ("many", None)])
def test_threads_as_openmp_takes_them(words: str, threads: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", words)
    assert thread_count() == (threads or core_count())


def test_words_of_openmp_are_no_matter_to_what_we_import() -> None:
    environment = {name: text for name, text in os.environ.items() if name != "NUMEXPR_NUM_THREADS"}
    words = [sys.executable, "-c", "import reverie.episodes.episode_file"]
    subprocess.run(words, env=environment | {"OMP_NUM_THREADS": "4,2"}, check=True, timeout=60)
