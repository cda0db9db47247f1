"""The README's moving picture: the dream lab's first panel while its agent plays.

python docs/images/make_lab_picture.py runs/doom-quick docs/images/lab.webp

Needs a browser (Debian's chromium) and Playwright, which the extra `dev` brings.
"""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image
from playwright.sync_api import sync_playwright
from reverie.lab.opening import lab_source

from reverie.lab.bundle import write_lab
from reverie.lab.server import serving

if TYPE_CHECKING:
    from playwright.sync_api import Page

SHOTS, EVERY, FIRST = 36, 4, 120  # pictures, steps between two, steps before the first
SIZE, WIDTH = {"width": 1060, "height": 960}, 760  # of the window, and of the picture
STEPS = """async (count) => {
    const screen = document.querySelector("#panel-dream .screen");
    for (let step = 0; step < count; step++) {
        const before = document.body.dataset.steps;
        screen.dispatchEvent(new KeyboardEvent("keydown", { code: "Period" }));
        while (document.body.dataset.steps === before) await new Promise((resolve) => setTimeout(resolve, 2));
    }
}"""
EDGE = 18  # of the page around the panel, in pixels
PATIENCE = 600_000  # milliseconds
MILLISECONDS = 114  # that each picture is shown: four steps of Doom at its own pace


def main(run: str, picture: str) -> None:
    """Write one animated WebP."""
    with tempfile.TemporaryDirectory() as folder:
        write_lab(Path(folder), [lab_source(run)])
        with serving(Path(folder)) as server, sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            page = browser.new_page(viewport=SIZE, reduced_motion="reduce")  # it stands still between two steps
            page.set_default_timeout(PATIENCE)
            page.goto(server.address)
            page.wait_for_selector("body[data-state=ready]")
            images = _film(page)
    first, *rest = [image.resize((WIDTH, round(image.height * WIDTH / image.width))) for image in images]
    first.save(picture, save_all=True, append_images=rest, duration=MILLISECONDS, loop=0, quality=55, method=6)


def _film(page: Page) -> list[Image.Image]:
    box = page.locator("#panel-dream .two").bounding_box()
    assert box is not None
    clip = {
        "x": box["x"] - EDGE,
        "y": box["y"] - EDGE,
        "width": box["width"] + 2 * EDGE,
        "height": box["height"] + 2 * EDGE,
    }
    page.evaluate(STEPS, FIRST)
    images = []
    for _ in range(SHOTS):
        page.evaluate(STEPS, EVERY)
        images.append(Image.open(io.BytesIO(page.screenshot(full_page=True, clip=clip))).convert("RGB"))
    return images


if __name__ == "__main__":
    main(*sys.argv[1:])
