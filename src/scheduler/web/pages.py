"""The pages and their parts, from memory: small files that are read once, when the app is made.

The policy below is strict because it can be: the pages have no inline script or style, load
nothing from other places and are shown in no frame. ``blob:`` is for the sound of results,
which arrives in messages.
"""

import hashlib
import mimetypes
from collections.abc import Awaitable, Callable, Iterator
from importlib import resources
from importlib.resources.abc import Traversable

import attrs
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "media-src blob:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "permissions-policy": "microphone=(self), camera=(), geolocation=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    # Always asked for again, so that page and scripts are never of two versions.
    "cache-control": "no-cache",
}
PAGES = {"/": "index.html", "/dashboard": "dashboard.html"}
TYPES = {".js": "text/javascript", ".svg": "image/svg+xml"}


@attrs.frozen
class File:
    """A file as it is sent. ``tag`` changes with the content."""

    content: bytes
    media_type: str
    tag: str

    def answer(self, request: Request) -> Response:
        """The response; only its head if the browser has this very content already."""
        headers = {**HEADERS, "etag": self.tag}
        known = request.headers.get("if-none-match", "")
        if self.tag in (tag.strip().removeprefix("W/") for tag in known.split(",")):
            return Response(status_code=304, headers=headers)
        return Response(self.content, media_type=self.media_type, headers=headers)


def page_routes() -> list[Route]:
    """The routes of the pages and of every file that they are made of."""
    files = {f"/static/{name}": file for name, file in _files(_root(), "")}
    paths = {**files, **{path: files[f"/static/{name}"] for path, name in PAGES.items()}}
    return [Route(path, _endpoint(file)) for path, file in paths.items()]


def _endpoint(file: File) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        return file.answer(request)

    return answer


def _root() -> Traversable:
    return resources.files("scheduler.web") / "static"


def _files(folder: Traversable, prefix: str) -> Iterator[tuple[str, File]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _files(entry, f"{prefix}{entry.name}/")
        else:
            content = entry.read_bytes()
            suffix = f".{entry.name.rpartition('.')[2]}"
            guessed = TYPES.get(suffix) or mimetypes.guess_type(entry.name)[0]
            tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
            yield prefix + entry.name, File(content, guessed or "application/octet-stream", tag)
