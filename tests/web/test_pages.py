"""The pages and their files: what is served, with which headers, and that they fit together."""

import posixpath
import re
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest
import trio
from client_support import scheduler_world
from web_support import get

STATIC = Path(str(resources.files("scheduler.web"))) / "static"
FILES = sorted(path.relative_to(STATIC).as_posix() for path in STATIC.rglob("*") if path.is_file())
SCRIPTS = [name for name in FILES if name.endswith(".js")]
PAGES = {"index.html": "client/main.js", "dashboard.html": "dashboard/main.js"}
LINES_MAX = 320


def read(name: str) -> str:
    return (STATIC / name).read_text(encoding="utf-8")


def imports(script: str) -> list[str]:
    """The files that a script imports, as paths below the static folder."""
    folder = posixpath.dirname(script)
    named = re.findall(r'from "(\.[^"]+)"', read(script))
    return [posixpath.normpath(f"{folder}/{name}") for name in named]


def reachable(script: str) -> Iterator[str]:
    """A script and everything that it imports, however indirectly."""
    seen, left = set(), [script]
    while left:
        name = left.pop()
        if name not in seen:
            seen.add(name)
            yield name
            left += imports(name)


async def test_pages_and_files_are_served(autojump_clock: object) -> None:
    """Each page and each of its files comes with its type, unchanged, under a strict policy."""
    types = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg"}
    async with scheduler_world() as world:
        for path, name in (
            ("/", "index.html"),
            ("/dashboard", "dashboard.html"),
            *((f"/static/{name}", name) for name in FILES),
        ):
            status, headers, body = await get(world.network, path)
            assert (status, body) == (200, (STATIC / name).read_bytes()), path
            assert headers["content-type"].startswith(types[name.rpartition(".")[2]])
            assert headers["x-content-type-options"] == "nosniff"
            policy = headers["content-security-policy"]
            assert policy.startswith("default-src 'none'; script-src 'self'")
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy


async def test_a_browser_that_has_a_file_is_not_sent_it_again(autojump_clock: object) -> None:
    """A file is asked for again each time, and answered by 304 while it is the same."""
    async with scheduler_world() as world:
        _, headers, _ = await get(world.network, "/")
        assert headers["cache-control"] == "no-cache"
        tag = headers["etag"]
        for known, expected in ((tag, 304), (f"W/{tag}", 304), ('"x"', 200)):
            status, again, body = await get(world.network, "/", ("if-none-match", known))
            assert (status, bool(body)) == (expected, expected == 200)
            assert again["etag"] == tag


@pytest.mark.parametrize(
    "path",
    ["/static", "/static/", "/static/nothing.js", "/static/../pages.py", "/static/%2e%2e/pages.py"],
)
async def test_nothing_else_is_served(path: str, autojump_clock: object) -> None:
    """Only files that belong to the pages have an address."""
    async with scheduler_world() as world:
        status, _, _ = await get(world.network, path)
    assert status == 404


async def test_pages_cannot_be_written_to(autojump_clock: object) -> None:
    """A page answers GET and HEAD only."""
    async with scheduler_world() as world:
        assert (await get(world.network, "/", method="HEAD"))[::2] == (200, b"")
        assert (await get(world.network, "/", method="POST"))[0] == 405
        await trio.lowlevel.checkpoint()


@pytest.mark.parametrize("name", FILES)
def test_nothing_comes_from_other_places(name: str) -> None:
    """No file names another host, and no page has a script or a style inside."""
    text = read(name).replace("http://www.w3.org/2000/svg", "")
    assert re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}", text) == []
    if name.endswith(".html"):
        assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon[a-z]+=", text) == []


@pytest.mark.parametrize("page", PAGES)
def test_a_page_has_what_its_scripts_look_for(page: str) -> None:
    """Every id that a page's scripts and labels name is there, and once."""
    html = read(page)
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    scripts = "".join(map(read, reachable(PAGES[page])))
    wanted = set(re.findall(r'["`]#([a-z][a-z-]*)["` ]', scripts))
    wanted |= set(re.findall(r'(?:aria-\w+by|for)="([^"]+)"', html))
    assert wanted - set(ids) == set()


def test_every_file_is_used_and_every_file_that_is_used_is_there() -> None:
    """Scripts, styles and symbols form a closed whole."""
    used = set(PAGES)
    for page, script in PAGES.items():
        used |= set(re.findall(r'"/static/([^"#]+)', read(page))) | set(reachable(script))
    for name in SCRIPTS:
        used |= set(re.findall(r'["`]/static/([^"`#$]+)', read(name)))
    assert used == set(FILES)
    symbols = set(re.findall(r'<symbol id="([^"]+)"', read("lib/icons.svg")))
    named = "".join(map(read, FILES))
    assert set(re.findall(r"icons\.svg#([a-z]+)", named)) <= symbols


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_are_short_and_say_what_they_are_for(script: str) -> None:
    """A script begins with a sentence and fits the same limit as a Python module."""
    lines = read(script).splitlines()
    assert len(lines) <= LINES_MAX
    assert lines[0].startswith("// ")


def test_the_pages_can_be_read_by_everybody() -> None:
    """Language, viewport and a way to skip; controls have names; what changes is announced."""
    for page in PAGES:
        html = read(page)
        assert '<html lang="en">' in html
        assert 'name="viewport"' in html
        assert 'class="skip"' in html
        assert 'role="status"' in html
        for button in re.findall(r"<button[^>]*>.*?</button>", html, re.DOTALL):
            text = re.sub(r"<[^>]+>", "", button).strip()
            assert text or "aria-label=" in button, button
        for control in re.findall(r"<(?:select|input)[^>]*>", html):
            assert re.search(
                rf"<label[^>]*>(?:(?!</label>).)*{re.escape(control)}", html, re.DOTALL
            )
