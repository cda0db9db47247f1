"""The page in a real browser: played by keys, every control moved, and its dream compared with PyTorch's."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from reverie.lab.bundle import write_lab
from reverie.lab.reference import dream_latents, swaying_actions
from reverie.lab.server import serving
from tests.lab.conftest import PATIENCE
from tests.lab.sources import bare_car, like_doom

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

pytest.importorskip("onnxscript")
pytestmark = pytest.mark.timeout(600)

PANELS = ("dream", "see", "latents", "cheat", "compare")
STEPS = 100
OLD_BROWSER = "WebAssembly.validate = () => false;"


@dataclass
class Visit:
    """A page that is open, and what it asked for and complained of."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def open(self, panel: str) -> Locator:
        """Choose a tab and wait until its panel is there."""
        self.page.click(f"#tab-{panel}")
        self.page.wait_for_selector(f"body[data-panel={panel}]")
        return self.page.locator(f"#panel-{panel}")


def visit(browser: Browser, address: str, script: str = "", **context: object) -> Visit:
    opened = browser.new_context(viewport={"width": 1200, "height": 900}, reduced_motion="reduce", **context)
    page = opened.new_page()
    page.set_default_timeout(PATIENCE)
    if script:
        page.add_init_script(script)
    found = Visit(page)
    page.on("request", lambda request: found.requests.append(request.url))
    page.on("console", lambda message: found.complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: found.complaints.append(str(error)))
    page.goto(address)
    page.wait_for_selector("body[data-state]")
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page") / "lab"
    write_lab(folder, [like_doom(), like_doom(5)])
    return folder


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with serving(folder) as server:
        yield server.address


@pytest.fixture(scope="module")
def lab(browser: Browser, address: str) -> Iterator[Visit]:
    """The page of two whole runs; it stands still until a test moves it, as a visitor asked for reduced motion."""
    found = visit(browser, address)
    assert found.page.get_attribute("body", "data-state") == "ready", found.complaints
    yield found
    found.page.context.close()


def picture(place: Locator) -> str:
    """A digest of what the first canvas in `place` shows."""
    return hashlib.sha256(place.locator("canvas").first.evaluate("canvas => canvas.toDataURL()").encode()).hexdigest()


def changed(page: Page, place: Locator, before: str) -> str:
    """Wait until `place` shows another picture than `before`; its digest."""
    for _ in range(PATIENCE // 50):
        if (now := picture(place)) != before:
            return now
        page.wait_for_timeout(50)
    raise AssertionError("the picture stayed as it was")


def test_a_hundred_steps_by_keys(lab: Visit, tmp_path: Path) -> None:
    panel, page = lab.open("dream"), lab.page
    panel.get_by_text("You", exact=True).click()
    screen = panel.locator(".screen")
    screen.focus()
    page.keyboard.press("r")
    page.keyboard.down("ArrowRight")
    shown = {picture(panel)}
    for step in range(1, STEPS + 1):
        page.keyboard.press(".")
        page.wait_for_function("n => document.body.dataset.steps === String(n)", arg=step)
        if step % 10 == 0:
            shown.add(picture(panel))
    assert panel.get_by_role("meter").get_attribute("aria-valuenow") == "1.00"
    page.keyboard.up("ArrowRight")
    page.keyboard.press("a")
    assert len(shown) == STEPS // 10 + 1
    page.screenshot(path=tmp_path / "played.png", full_page=True)


def test_space_plays_and_pauses(lab: Visit) -> None:
    panel, page = lab.open("dream"), lab.page
    panel.locator(".screen").focus()
    page.keyboard.press("r")
    page.wait_for_function("() => document.querySelector('.counters dd').textContent === '0'")
    page.keyboard.press("Space")
    page.wait_for_function("() => Number(document.body.dataset.steps) >= 3 && document.body.dataset.steps < 100")
    page.keyboard.press("Space")
    assert panel.get_by_role("button", name="Play").is_visible()


def test_keys_are_the_page_s_own_while_the_dream_has_no_focus(lab: Visit) -> None:
    panel = lab.open("dream")
    caught = """(element) => ["ArrowUp", "KeyW", "Space"].map((code) => {
        const event = new KeyboardEvent("keydown", { code, key: code, bubbles: true, cancelable: true });
        element.dispatchEvent(event);
        return event.defaultPrevented;
    })"""
    assert lab.page.locator("body").evaluate(caught) == [False, False, False]
    assert panel.locator("h2").evaluate(caught) == [False, False, False]
    assert panel.locator(".screen").evaluate(caught)[2] is True
    panel.locator(".screen").evaluate(caught)  # Space again: as it was


def test_the_same_seed_and_actions_dream_the_same_as_pytorch(lab: Visit) -> None:
    lab.page.get_by_role("button", name="Check this browser against PyTorch").click()
    said = lab.page.locator("footer [data-largest]")
    assert float(said.get_attribute("data-largest") or "nan") < 1e-3
    assert "the same dream" in said.inner_text()
    assert "NOT" not in said.inner_text()


def test_another_seed_agrees_too(lab: Visit) -> None:
    """200 steps through the page's own worker, against PyTorch here and not against what the export holds."""
    source, seed, tau = like_doom(), 12345, 0.8
    taken = swaying_actions(source.spec.actions, 200)[::-1].copy()
    expected = dream_latents(source.memory, source.spec.actions, source.starts.mu[3], taken, seed, tau)
    dreamt = lab.page.evaluate(
        """async ({ z, actions, seed, temperature }) => {
            const { Engine } = await import("/engine.js"), { loadLab } = await import("/data.js");
            const engine = new Engine(), latents = [];
            await engine.begin();
            await engine.open((await loadLab()).runs[0]);
            await engine.ask("start", { key: "test", run: "a", z: Float32Array.from(z), seed });
            for (const action of actions) {
                const step = await engine.ask("step", { key: "test", agent: null, action, temperature, show: false });
                latents.push(Array.from(step.z));
            }
            return latents;
        }""",
        {"z": source.starts.mu[3].tolist(), "actions": taken.tolist(), "seed": seed, "temperature": tau},
    )
    assert np.abs(np.array(dreamt) - expected[1:]).max() < 1e-3


@pytest.mark.parametrize("panel", PANELS)
def test_every_control_moves(lab: Visit, tmp_path: Path, panel: str) -> None:
    place, page = lab.open(panel), lab.page
    for slider in place.locator("input[type=range]").all():
        before = slider.input_value()
        slider.focus()
        page.keyboard.press("ArrowRight")
        if slider.input_value() == before:  # it stood at its end
            page.keyboard.press("ArrowLeft")
        assert slider.input_value() != before
        assert slider.get_attribute("aria-valuetext")
    for radio in place.locator("input[type=radio]").all():
        radio.check(force=True)
        assert radio.is_checked()
    for select in place.locator("select").all():
        for option in select.locator("option").all():
            select.select_option(option.get_attribute("value"))
            assert select.input_value() == option.get_attribute("value")
        select.select_option(index=0)
    for seed in place.locator("input[type=number]").all():
        seed.fill("41")
        seed.press("Enter")
        assert seed.input_value() == "41"
    for name in [button.inner_text() for button in place.get_by_role("button").all() if button.is_visible()]:
        if name not in ("Enter the dream here", "Play", "Pause"):
            place.get_by_role("button", name=name, exact=True).or_(
                place.locator(f"button:text-is('{name}')")
            ).first.click()
    assert page.get_attribute("body", "data-state") == "ready", lab.complaints
    page.screenshot(path=tmp_path / f"{panel}.png", full_page=True)


@pytest.mark.parametrize("panel", ["cheat", "compare"])
def test_two_dreams_go_on_side_by_side(lab: Visit, panel: str) -> None:
    place = lab.open(panel)
    before = [picture(stage) for stage in place.locator(".stage").all()]
    place.get_by_role("button", name="Restart").or_(place.locator("button:text-is('Restart')")).first.click()
    for _ in range(3):
        place.locator("button:text-is('Step')").click()
        lab.page.wait_for_timeout(200)
    lab.page.wait_for_function(
        """panel => [...document.querySelectorAll(`#panel-${panel} .note`)]
            .every((note) => note.textContent !== "0 steps")""",
        arg=panel,
    )
    after = [picture(stage) for stage in place.locator(".stage").all()]
    assert all(new != old for new, old in zip(after, before, strict=True))


def test_the_timeline_shows_the_real_frames_and_leads_into_the_dream(lab: Visit) -> None:
    place, page = lab.open("see"), lab.page
    place.locator("select").select_option("0")
    page.wait_for_function("() => document.querySelector('#panel-see .said').textContent.startsWith('Surprise')")
    time, real = place.locator("input[type=range]"), place.locator(".stage.real")
    time.focus()
    before = picture(real)
    page.keyboard.press("End")
    last = changed(page, real, before)
    page.keyboard.press("Home")
    first = changed(page, real, last)
    assert place.locator(".said").inner_text().startswith("The first frame")
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    changed(page, real, first)
    place.get_by_role("button", name="Enter the dream here").click()
    page.wait_for_selector("body[data-panel=dream]")
    assert page.locator("#panel-dream .note").inner_text() == "from step 5 of a real episode"
    page.wait_for_function("() => Number(document.body.dataset.steps) > 0")
    page.locator("#panel-dream .screen").press("Space")


def test_the_map_is_wandered_by_keys(lab: Visit) -> None:
    place = lab.open("latents")
    before, values = picture(place), [slider.input_value() for slider in place.locator(".sliders input").all()]
    place.get_by_role("application").focus()
    for key in ("ArrowRight", "Shift+ArrowUp", "Shift+ArrowUp"):
        lab.page.keyboard.press(key)
    changed(lab.page, place, before)
    assert [slider.input_value() for slider in place.locator(".sliders input").all()] != values


def test_it_asked_nobody_else_and_had_nothing_to_complain_of(lab: Visit, address: str) -> None:
    assert len(lab.requests) > 20
    assert [url for url in lab.requests if not url.startswith((address, "data:", "blob:"))] == []
    assert lab.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_every_panel_within_its_width(
    browser: Browser, address: str, tmp_path: Path, scheme: str
) -> None:
    found = visit(browser, address, color_scheme=scheme, has_touch=True)
    found.page.set_viewport_size({"width": 390, "height": 844})
    for panel in PANELS:
        found.open(panel)
        assert found.page.evaluate("document.documentElement.scrollWidth") <= 390, panel
        found.page.screenshot(path=tmp_path / f"phone-{scheme}-{panel}.png", full_page=True)
    pads = found.open("dream").locator(".pads button")
    assert [pad.inner_text() for pad in pads.all()] == ["←", "→"]
    found.page.context.close()


def test_a_run_without_heads_agent_and_episodes_says_so(browser: Browser, tmp_path: Path) -> None:
    write_lab(tmp_path / "bare", [bare_car()])
    with serving(tmp_path / "bare") as server:
        found = visit(browser, server.address)
        page = found.page
        for panel, said in (
            ("dream", "This run's M did not learn how an episode ends or rewards, so the dream only ends at its step"),
            ("see", "This run brought no recorded episode"),
            ("cheat", "This run has no agent yet"),
        ):
            assert said in found.open(panel).locator(".missing").first.inner_text()
        found.open("compare")
        screen = found.open("dream").locator(".screen")
        screen.focus()
        page.keyboard.down("ArrowUp")
        screen.press(".")
        page.wait_for_function("() => document.body.dataset.steps === '1'")
        assert [bar.get_attribute("aria-valuenow") for bar in page.get_by_role("meter").all()] == [
            "0.00",
            "1.00",
            "0.00",
        ]
        assert found.complaints == []
        page.context.close()


@pytest.mark.parametrize("name", ["lab.json", "a/memory.onnx", "a/data.bin", "runtime/ort.wasm.gz", "see.js"])
def test_a_missing_file_is_a_sentence(browser: Browser, folder: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(folder, tmp_path / "lab")
    (tmp_path / "lab" / name).unlink()
    with serving(tmp_path / "lab") as server:
        found = visit(browser, server.address)
        said = found.page.locator("[role=alert]").inner_text()
    assert "Export the lab again" in said
    assert name in said or name == "see.js"
    found.page.context.close()


def test_a_damaged_graph_is_a_sentence(browser: Browser, folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "lab")
    (tmp_path / "lab" / "a" / "memory.onnx").write_bytes(b"not a graph")
    with serving(tmp_path / "lab") as server:
        found = visit(browser, server.address)
        assert found.page.locator("[role=alert]").inner_text().startswith("The dream machine stopped: ")
    found.page.context.close()


def test_an_old_browser_gets_a_sentence(browser: Browser, address: str) -> None:
    found = visit(browser, address, OLD_BROWSER)
    assert "lacks WebAssembly SIMD" in found.page.locator("[role=alert]").inner_text()
    found.page.context.close()


def test_a_page_opened_as_a_file_says_how_to_serve_it(browser: Browser, folder: Path) -> None:
    found = visit(browser, (folder / "index.html").as_uri())
    assert "python -m http.server" in found.page.locator("[role=alert]").inner_text()
    found.page.context.close()
