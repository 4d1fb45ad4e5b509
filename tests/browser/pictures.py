"""Takes the pictures in docs/pictures: PYTHONPATH=tests python tests/browser/pictures.py"""

import tempfile
from pathlib import Path
from typing import Any

from browser.stage import CARDS, CHROMIUM, FLAGS, GO_FORWARD, SPEECH, Stage, staged
from playwright.sync_api import expect, sync_playwright

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
PHONE = {"width": 390, "height": 780}
DESK = {"width": 1180, "height": 720}


def opened(playwright: Any, stage: Stage, viewport: Any, **settings: Any) -> Any:
    return playwright.chromium.launch_persistent_context(
        "", executable_path=CHROMIUM, headless=True, args=FLAGS, base_url=stage.url,
        locale="en-GB", viewport=viewport, **settings,
    )  # fmt: skip


def speak(page: Any, *files: Path) -> None:
    before = page.locator("#utterances > li").count()
    page.set_input_files("#file", files)
    expect(page.locator("#utterances > li")).to_have_count(before + len(files))


def take(playwright: Any, stage: Stage) -> None:
    phone = opened(playwright, stage, PHONE, device_scale_factor=2).pages[0]
    phone.goto("/")
    expect(phone.locator("#connection[data-state=open]")).to_be_visible()
    speak(phone, GO_FORWARD, CARDS, SPEECH / "cards/003.wav", SPEECH / "tidigits/dhd.2934z.raw")
    expect(phone.locator("[data-reached=played]")).to_have_count(4, timeout=60_000)
    desk = opened(playwright, stage, DESK, color_scheme="dark")
    board = desk.pages[0]
    board.goto("/dashboard")
    light = opened(playwright, stage, DESK).pages[0]
    light.goto("/dashboard")
    expect(light.locator("#nodes > li")).to_be_visible()
    speak(phone, SPEECH / "something.raw", SPEECH / "cards/001.wav", SPEECH / "cards/004.wav")
    expect(light.locator("#waiting > li")).to_be_visible()
    light.screenshot(path=PICTURES / "dashboard.png")
    expect(phone.locator("[data-reached=played]")).to_have_count(5, timeout=60_000)
    phone.evaluate("scrollTo(0, 0)")
    phone.screenshot(path=PICTURES / "client.png", scale="css")
    expect(phone.locator("[data-reached=played]")).to_have_count(7, timeout=60_000)
    board.locator("#job-rows a").last.click()
    expect(board.locator("#job .story li").last).to_contain_text("played")
    board.screenshot(path=PICTURES / "timeline.png")


def main() -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        staged(Path(folder)) as stage,
        sync_playwright() as playwright,
    ):
        take(playwright, stage)


if __name__ == "__main__":
    main()
