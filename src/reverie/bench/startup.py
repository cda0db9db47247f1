"""How long the library and the command line take to start."""

from __future__ import annotations

import subprocess
import sys
import time

from reverie.bench.measuring import Setting, median
from reverie.bench.result import Measured

RUNS = 7  # each is short: more of them than of other cases


def import_reverie(setting: Setting) -> Measured:
    """`import reverie`."""
    return _measure_program(setting, "import reverie")


def show_help(setting: Setting) -> Measured:
    """`reverie --help`."""
    return _measure_program(setting, "from reverie.cli import main; main(['--help'])")


def _measure_program(setting: Setting, program: str) -> Measured:
    runs = setting.amount(RUNS)
    return Measured(
        ours=median(lambda: program_seconds(program), runs),
        baseline=median(lambda: program_seconds("import torch"), min(runs, 3)),
        limit=median(lambda: program_seconds("pass"), runs),
        peak_memory_mb=program_memory_mb(program),
        threads="1 process",
        notes="limit: the interpreter alone; baseline: import torch, which both leave until it is needed",
    )


def program_memory_mb(program: str) -> float:
    """The peak of its resident memory; 0 where the system does not tell."""
    asked = f"""
try:
    {program}
finally:
    import sys
    print("peak", *(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")), file=sys.stderr)
"""
    printed = subprocess.run([sys.executable, "-c", asked], check=False, capture_output=True, text=True).stderr.split()
    return int(printed[-1]) / 1024 if printed[-1:] and printed[-1].isdecimal() else 0.0


def program_seconds(program: str) -> float:
    """Seconds from the start of a Python process to its end."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    return time.perf_counter() - begun
