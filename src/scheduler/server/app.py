"""What plain HTTP can ask for: is it alive, is it ready, and what is it doing."""

from collections.abc import Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from scheduler import __version__
from scheduler.core.snapshot import Snapshot
from scheduler.observe.metrics import Metrics
from scheduler.observe.routes import record_routes
from scheduler.server.asgi import ClosingStreamingResponse
from scheduler.web.feed import Feed
from scheduler.web.pages import page_routes

NO_STORE = {"cache-control": "no-store"}


def make_app(snapshot: Callable[[], Snapshot], feed: Feed, metrics: Metrics) -> Starlette:
    """The ASGI application. Every answer is made from one consistent snapshot."""

    def answer(content: object, status: int = 200) -> JSONResponse:
        return JSONResponse(content, status, NO_STORE)

    async def health(_: Request) -> JSONResponse:
        return answer({"status": "ok", "version": __version__})

    async def ready(_: Request) -> JSONResponse:
        if (now := snapshot()).draining:
            return answer({"status": "draining"}, 503)
        if now.journal_failed is not None:
            return answer({"status": "journal_failing", "reason": now.journal_failed}, 503)
        return answer({"status": "ready"})

    async def stats(_: Request) -> JSONResponse:
        return answer(snapshot().stats())

    async def nodes(_: Request) -> JSONResponse:
        return answer({"nodes": snapshot().nodes()})

    async def sessions(_: Request) -> JSONResponse:
        return answer({"sessions": snapshot().sessions()})

    async def jobs(_: Request) -> JSONResponse:
        return answer({"jobs": snapshot().jobs()})

    async def job(request: Request) -> JSONResponse:
        found = snapshot().job(request.path_params["job_id"])
        if found is None:
            return answer({"error": "no such job, or its record has been forgotten"}, 404)
        return answer(found)

    async def events(_: Request) -> Response:
        if feed.full:
            return answer({"error": "the feed has as many readers as it may have"}, 503)
        return ClosingStreamingResponse(feed.read(), 200, NO_STORE, "text/event-stream")

    async def not_found(request: Request, _: Exception) -> JSONResponse:
        return answer({"error": f"nothing is served at {request.url.path}"}, 404)

    app = Starlette(
        routes=[
            Route("/health", health),
            Route("/ready", ready),
            Route("/api/v1/stats", stats),
            Route("/api/v1/nodes", nodes),
            Route("/api/v1/sessions", sessions),
            Route("/api/v1/jobs", jobs),
            Route("/api/v1/jobs/{job_id}", job),
            *record_routes(snapshot, metrics),
            Route("/api/v1/events", events),
            *page_routes(),
        ],
        exception_handlers={404: not_found},
    )
    # Its redirect would lead to whatever host the request named, and out of TLS behind a proxy.
    app.router.redirect_slashes = False
    return app
