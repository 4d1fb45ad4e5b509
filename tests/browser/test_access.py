"""Whoever sees little, has no mouse, or listens to the page instead can use it as well."""

from pathlib import Path
from typing import Any

import pytest
from browser.conftest import OpenBrowser
from browser.stage import CARDS, CHROMIUM, GO_FORWARD, Stage
from browser.test_pages import client_page, row

sync_api = pytest.importorskip("playwright.sync_api", reason="nox -s browser installs playwright")
pytestmark = pytest.mark.skipif(
    not (Path(CHROMIUM).exists() and GO_FORWARD.exists()),
    reason="the Debian packages chromium and pocketsphinx-testdata are not both installed",
)
expect = sync_api.expect
PHONE = {"width": 360, "height": 640}
STOPS_MAX = 80

ASKED = (Path(__file__).parent / "access.js").read_text(encoding="utf-8").split("export const ")
FAINT, FOCUSED = (text.split(" = ", 1)[1].partition("\n};")[0] + "\n}" for text in ASKED[1:])
"""Functions that are evaluated in the page."""


def stops(page: Any) -> list[dict[str, Any]]:
    """Every place that the Tab key leads to, from the top of the page."""
    page.evaluate("document.body.tabIndex = -1; document.body.focus(); scrollTo(0, 0)")
    found: list[dict[str, Any]] = []
    for _ in range(STOPS_MAX):
        page.keyboard.press("Tab")
        page.evaluate("new Promise(requestAnimationFrame)")
        stop = page.evaluate(FOCUSED)
        if stop is None or (found and stop["what"] == found[0]["what"]):
            page.evaluate("document.body.removeAttribute('tabindex')")
            return found
        found.append(stop)
    raise AssertionError("the Tab key never comes round")


def nameless(page: Any) -> list[str]:
    """What may be operated, or means something, and has no name to be called by."""
    tree = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    roles = {
        "button", "link", "checkbox", "combobox", "meter", "progressbar", "dialog", "region",
        "DisclosureTriangle",
    }  # fmt: skip
    return [
        node["role"]["value"]
        for node in tree
        if not node["ignored"]
        and node["role"]["value"] in roles
        and not node.get("name", {}).get("value", "").strip()
    ]


def spoken_to(page: Any) -> None:
    """The page has more on it than fits on a phone."""
    page.set_input_files("#file", [CARDS, GO_FORWARD, CARDS, CARDS])
    for number in range(4):
        expect(row(page, number)).to_have_attribute("data-reached", "played", timeout=60_000)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_can_be_read_heard_and_used_without_a_mouse(
    stage: Stage, browser: OpenBrowser, scheme: str
) -> None:
    """On a phone, light or dark: contrast, names, and a focus that is always to be seen."""
    context = browser(stage, viewport=PHONE, color_scheme=scheme)
    page = client_page(context)
    faint = {"empty": page.evaluate(FAINT)}
    spoken_to(page)
    options = page.locator(".options")
    options.locator("summary").press("Enter")
    faint["options"] = page.evaluate(FAINT)
    for name in ("#aloud", "#listen-on", "#at-scheduler"):
        page.keyboard.press("Tab")
        expect(page.locator(name)).to_be_focused()
        assert page.evaluate(FOCUSED)["seen"]
    page.keyboard.press("Escape")
    expect(options).not_to_have_attribute("open", "")
    expect(options.locator("summary")).to_be_focused()
    dashboard = context.new_page()
    dashboard.goto("/dashboard")
    expect(dashboard.locator("#job-rows tr").first).to_be_visible()
    for name, shown in (("client", page), ("dashboard", dashboard)):
        shown.bring_to_front()
        faint[name] = shown.evaluate(FAINT)
        assert nameless(shown) == []
        places = stops(shown)  # with the options closed: they lie over other things
        assert len(places) > 5
        assert [stop for stop in places if not (stop["seen"] and stop["ring"])] == []
        assert len(shown.get_by_role("heading", level=1).all()) == 1
    dashboard.locator("#job-rows a").first.press("Enter")
    expect(dashboard.locator("#job .story")).to_be_visible()
    faint["job"] = dashboard.evaluate(FAINT)
    assert nameless(dashboard) == []
    assert {name: found for name, found in faint.items() if found} == {}
