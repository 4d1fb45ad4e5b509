"""The browser, and what every page of it must be free of."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browser.stage import CHROMIUM, FLAGS, Stage, staged

OpenBrowser = Callable[..., Any]


@pytest.fixture(scope="session")
def playwright() -> Iterator[Any]:
    from playwright import sync_api

    with sync_api.sync_playwright() as playwright:
        yield playwright


@pytest.fixture
def browser(playwright: Any) -> Iterator[OpenBrowser]:
    """Opens a browser of its own, with the microphone that is asked for."""
    opened = []

    def open_browser(stage: Stage, microphone: Path | None = None, **settings: Any) -> Any:
        heard = [f"--use-file-for-fake-audio-capture={microphone}"] if microphone else []
        context = playwright.chromium.launch_persistent_context(
            "",
            executable_path=CHROMIUM,
            headless=True,
            args=[*FLAGS, *heard],
            base_url=stage.url,
            locale="en-GB",
            **{"viewport": {"width": 900, "height": 900}, **settings},
        )
        context.set_default_timeout(30_000)
        context.grant_permissions(["microphone"], origin=stage.url)
        opened.append(Watched(context, stage))
        return context

    yield open_browser
    for watched in opened:
        watched.context.close()
    assert [complaint for watched in opened for complaint in watched.complaints] == []


class Watched:
    """What goes wrong in a browser without anybody seeing it, and what it asks of other places."""

    def __init__(self, context: Any, stage: Stage) -> None:
        self.context = context
        self.complaints: list[str] = []
        context.on("request", lambda request: self._asked(request.url, stage.url))
        context.on("weberror", lambda error: self.complaints.append(f"raised: {error.error}"))
        context.on("console", self._said)

    def _asked(self, url: str, home: str) -> None:
        if not url.startswith((home, "blob:")):
            self.complaints.append(f"asked for {url}")

    def _said(self, message: Any) -> None:
        lost = "ERR_CONNECTION" in message.text or "ERR_INCOMPLETE" in message.text
        if message.type in ("error", "warning") and not lost and "WebSocket" not in message.text:
            self.complaints.append(f"{message.type}: {message.text}")


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A scheduler with one node, shared by the tests that harm neither."""
    with staged(tmp_path_factory.mktemp("stage")) as stage:
        yield stage
