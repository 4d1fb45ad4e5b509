"""The pages in a real browser, with real engines behind them."""

import json
import re
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from browser.conftest import OpenBrowser
from browser.stage import CARDS, CHROMIUM, GO_FORWARD, Stage, spoken_wav, staged, until

sync_api = pytest.importorskip("playwright.sync_api", reason="nox -s browser installs playwright")
pytestmark = pytest.mark.skipif(
    not (Path(CHROMIUM).exists() and GO_FORWARD.exists()),
    reason="the Debian packages chromium and pocketsphinx-testdata are not both installed",
)
expect = sync_api.expect
expect.set_options(timeout=30_000)

CONNECTED = "#connection[data-state=open]"
METRES = re.compile("10 metros")


def client_page(context: Any) -> Any:
    page = context.pages[0]
    page.goto("/")
    expect(page.locator(CONNECTED)).to_be_visible()
    return page


def row(page: Any, number: int) -> Any:
    return page.locator("#utterances > li").nth(number)


def test_a_recording_is_recognised_translated_and_played(
    stage: Stage, browser: OpenBrowser
) -> None:
    """A chosen file comes back as text and sound; the dashboard shows the node and the job."""
    context = browser(stage)
    page = client_page(context)
    dashboard = context.new_page()
    dashboard.goto("/dashboard")
    expect(dashboard.locator("[data-node=node-1]")).to_contain_text("Ready")

    page.bring_to_front()
    page.set_input_files("#file", [GO_FORWARD, CARDS])
    expect(row(page, 0)).to_contain_text("go forward ten meters")
    expect(row(page, 0).locator(".translated")).to_have_text(METRES)
    expect(row(page, 1).locator(".translated")).to_contain_text("8 de picas")
    for number in (0, 1):
        expect(row(page, number)).to_have_attribute("data-reached", "played")

    job = dashboard.locator("#job-rows tr[data-outcome=translated]").last
    expect(job).to_contain_text("played")
    job.get_by_role("link").focus()
    dashboard.keyboard.press("Enter")
    expect(dashboard.locator("#job .verdict")).to_contain_text("acknowledged the result")
    told = dashboard.locator("#job .story b").all_inner_texts()
    assert [told[0], told[-1]] == ["accepted", "played"]
    dashboard.keyboard.press("Escape")
    expect(job.get_by_role("link")).to_be_focused()


def test_the_page_cuts_what_the_microphone_hears(
    stage: Stage, browser: OpenBrowser, tmp_path: Path
) -> None:
    """Speech at the microphone, by keyboard alone: after the pause the sentence is translated."""
    page = client_page(browser(stage, spoken_wav(tmp_path, pause_seconds=2)))
    page.get_by_role("button", name="Speak", exact=True).focus()
    page.keyboard.press("Enter")
    expect(row(page, 0)).to_contain_text("go forward ten meters")
    expect(row(page, 0).locator(".translated")).to_have_text(METRES)
    expect(row(page, 0)).to_have_attribute("data-reached", "played")
    page.keyboard.press("Enter")
    expect(page.locator("#speak")).to_have_attribute("aria-pressed", "false")
    for shown in page.locator("#utterances > li").all():
        expect(shown).to_contain_text(re.compile(r"[0-9][.][0-9] s · "))


def test_speech_is_cut_at_its_pauses(stage: Stage, browser: OpenBrowser) -> None:
    """Two sentences with a pause are two utterances, silence and clicks are none."""
    page = client_page(browser(stage))
    first, second = page.evaluate(
        CUT, [list(GO_FORWARD.read_bytes()), list(CARDS.read_bytes()[44:])]
    )
    assert 2 < first < 3
    assert 3 < second < 4


CUT = """async (recordings) => {
  const { Segmenter, FRAME } = await import("/static/client/segmenter.js");
  const segmenter = new Segmenter();
  const pause = new Int16Array(32000);
  const click = Int16Array.from(pause, (_, at) => (at > 200 && at < 900 ? 9000 : 0));
  const [first, second] = recordings.map((bytes) => new Int16Array(Uint8Array.from(bytes).buffer));
  const found = [];
  for (const sound of [pause, first, pause, click, second, pause]) {
    for (let at = 0; at + FRAME <= sound.length; at += FRAME) {
      found.push(segmenter.push(sound.subarray(at, at + FRAME)).utterance);
    }
  }
  found.push(segmenter.end(), segmenter.end());
  return found.filter((each) => each !== null).map((each) => each.length / 16000);
}"""


def test_the_scheduler_cuts_what_the_microphone_hears(
    stage: Stage, browser: OpenBrowser, tmp_path: Path
) -> None:
    """With audio_chunk the page sends sound as it comes, and the scheduler finds the pause."""
    page = client_page(browser(stage, spoken_wav(tmp_path, pause_seconds=6)))
    page.get_by_text("Options").click()
    page.get_by_label("Let the scheduler find the pauses").check()
    expect(page.locator(CONNECTED)).to_be_visible()
    page.get_by_role("button", name="Speak", exact=True).click()
    expect(row(page, 0)).to_contain_text("go forward ten meters")
    expect(row(page, 0)).to_have_attribute("data-reached", "played")
    page.set_input_files("#file", CARDS)  # its own index, whatever the scheduler numbers now
    expect(page.locator(".translated", has_text="8 de picas")).to_be_visible()


def test_the_page_survives_reload_and_restart(tmp_path: Path, browser: OpenBrowser) -> None:
    """The scheduler is killed and started again: the same session goes on, nothing is lost."""
    with staged(tmp_path, str(tmp_path / "journal.sqlite3")) as stage:
        page = client_page(browser(stage))
        page.set_input_files("#file", GO_FORWARD)
        expect(row(page, 0)).to_have_attribute("data-reached", "played")
        before = sessions(stage)

        stage.kill("scheduler")
        expect(page.locator(CONNECTED)).to_have_count(0)
        page.set_input_files("#file", CARDS)
        expect(row(page, 1)).to_contain_text("Not with the scheduler yet")
        stage.start_scheduler()
        expect(row(page, 1).locator(".translated")).to_contain_text("8 de picas")
        expect(row(page, 1)).to_have_attribute("data-reached", "played")

        page.reload()
        expect(page.locator(CONNECTED)).to_be_visible()
        expect(row(page, 0).locator(".translated")).to_have_text(METRES)
        row(page, 0).get_by_role("button", name="Play again").click()
        expect(row(page, 0).get_by_role("button", name="Stop")).to_be_visible()
        assert sessions(stage) == before, "one session, resumed each time"


def test_a_planned_restart_is_hardly_noticed(tmp_path: Path, browser: OpenBrowser) -> None:
    """No open page holds up a scheduler that is told to end; all go on with its successor."""
    with staged(tmp_path, str(tmp_path / "journal.sqlite3")) as stage:
        context = browser(stage)
        page = client_page(context)
        dashboard = context.new_page()
        dashboard.goto("/dashboard")
        expect(dashboard.locator("#live")).to_have_text("Live")
        stage.stop("scheduler")  # has less time than a drain may take
        expect(dashboard.locator("#live")).to_contain_text("what you see is old")
        page.set_input_files("#file", CARDS)
        stage.start_scheduler()
        expect(row(page, 0).locator(".translated")).to_contain_text("8 de picas")
        expect(dashboard.locator("#live")).to_have_text("Live")
        expect(dashboard.locator("#job-rows tr[data-outcome=translated]")).to_be_visible()


def test_what_waits_is_there_after_a_reload(tmp_path: Path, browser: OpenBrowser) -> None:
    """An utterance waits for a node and says so; the page is loaded anew; its result comes."""
    with staged(tmp_path, node=False) as stage:
        context = browser(stage)
        page = client_page(context)
        page.set_input_files("#file", GO_FORWARD)
        expect(row(page, 0)).to_contain_text("No node is connected; waiting up to 10 s")
        dashboard = context.new_page()
        dashboard.goto("/dashboard")
        expect(dashboard.locator("#waiting")).to_contain_text("No node is connected")
        expect(dashboard.locator("#no-nodes")).to_be_visible()
        page.reload()
        stage.start_node()
        expect(row(page, 0).locator(".translated")).to_have_text(METRES)
        expect(dashboard.locator("[data-node=node-1]")).to_be_visible()
        stage.kill("node")
        expect(dashboard.locator("#no-nodes")).to_be_visible()


@pytest.mark.parametrize("settings", [("memory",), ("journal.sqlite3", "--no-audio-at-rest")])
def test_a_forgetful_scheduler_is_given_it_again(
    tmp_path: Path, browser: OpenBrowser, settings: tuple[str, ...]
) -> None:
    """Whether all of it was forgotten or only the sound: what was accepted comes back."""
    journal, *others = settings
    place = journal if journal == "memory" else str(tmp_path / journal)
    with staged(tmp_path, place, *others, node=False) as stage:
        page = client_page(browser(stage))
        page.set_input_files("#file", GO_FORWARD)
        expect(row(page, 0)).to_contain_text("waiting up to")
        stage.kill("scheduler")
        stage.start_scheduler()
        stage.start_node()
        expect(row(page, 0).locator(".translated")).to_have_text(METRES)


def test_a_failure_can_be_tried_again(tmp_path: Path, browser: OpenBrowser) -> None:
    """Without a machine the person is told so in words, and may try again when there is one."""
    with staged(tmp_path, node=False) as stage:
        page = client_page(browser(stage))
        expect(page.locator("#impossible")).to_be_visible()
        page.set_input_files("#file", GO_FORWARD)
        expect(row(page, 0)).to_contain_text("Not translated")
        expect(row(page, 0)).to_contain_text("No node took the job within 10 s")
        stage.start_node()
        expect(page.locator("#impossible")).to_be_hidden()
        row(page, 0).get_by_role("button", name="Try again").click()
        expect(row(page, 1).locator(".translated")).to_have_text(METRES)


def test_a_second_tab_of_the_same_session_does_not_fight_for_it(
    stage: Stage, browser: OpenBrowser
) -> None:
    """A copied tab takes the session over; the first says so and waits until it is asked."""
    context = browser(stage)
    page = client_page(context)
    kept = page.evaluate("({ ...sessionStorage })")
    copy = context.new_page()
    for name, text in kept.items():
        copy.add_init_script(f"sessionStorage.setItem({json.dumps(name)}, {json.dumps(text)})")
    copy.goto("/")
    expect(copy.locator(CONNECTED)).to_be_visible()
    expect(page.locator("#connection")).to_have_text("Goes on in another tab")
    page.get_by_role("button", name="Connect now").click()
    expect(page.locator(CONNECTED)).to_be_visible()
    expect(copy.locator("#connection")).to_have_text("Goes on in another tab")


@pytest.mark.parametrize("width", [320, 390, 768])
def test_nobody_scrolls_sideways(stage: Stage, browser: OpenBrowser, width: int) -> None:
    """On a phone both pages, with something on them, are as wide as the screen."""
    context = browser(stage, viewport={"width": width, "height": 700}, color_scheme="dark")
    page = client_page(context)
    page.set_input_files("#file", CARDS)
    expect(row(page, 0).locator(".translated")).to_be_visible()
    dashboard = context.new_page()
    dashboard.goto("/dashboard")
    expect(dashboard.locator("#job-rows tr").first).to_be_visible()
    dashboard.locator("#job-rows a").first.click()
    expect(dashboard.locator("#job .story")).to_be_visible()
    for shown in (page, dashboard):
        wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert shown.evaluate(wide) == 0
    assert dashboard.evaluate("document.querySelector('#job').scrollWidth") <= width


def sessions(stage: Stage) -> list[str]:
    """The ids of the sessions that the scheduler has, once the page's own is connected."""
    found: list[Any] = []

    def connected() -> bool:
        with urllib.request.urlopen(f"{stage.url}/api/v1/sessions") as response:
            found[:] = json.load(response)["sessions"]
        return any(session["connected"] for session in found)

    until(connected, "the page is connected")
    return [session["session_id"] for session in found]
