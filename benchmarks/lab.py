"""How long a step of the dream lab takes in a browser: M, C, the decoder and the drawing, one step after the other.

taskset -c 0 python benchmarks/lab.py doom

Needs a browser (Debian's chromium) and Playwright, which the extra `dev` brings. Takes RUN|NAME as `reverie lab` does.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright
from reverie.lab.opening import lab_source

from reverie.lab.bundle import write_lab
from reverie.lab.server import serving

WARM_UP, STEPS = 50, 300
STEP = """async (count) => {
    const screen = document.querySelector("#panel-dream .screen");
    for (let step = 0; step < count; step++) {
        const before = document.body.dataset.steps;
        screen.dispatchEvent(new KeyboardEvent("keydown", { code: "Period" }));
        while (document.body.dataset.steps === before) await new Promise((resolve) => setTimeout(resolve, 0));
    }
}"""


def main(run: str) -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        write_lab(Path(folder), [lab_source(run)])
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        with serving(Path(folder)) as server:
            page = browser.new_page(reduced_motion="reduce")  # it stands still between two steps
            page.goto(server.address)
            page.wait_for_selector("body[data-state=ready]")
            page.evaluate(STEP, WARM_UP)
            begun = time.perf_counter()
            page.evaluate(STEP, STEPS)
            print(f"{1000 * (time.perf_counter() - begun) / STEPS:.1f} ms a step, over {STEPS} steps")
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1])
