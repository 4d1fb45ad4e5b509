"""What HTTP can ask of the record: traces, metrics, and who could take a job of a pair now.

Session ids stand in these answers in full, as they do under ``/api/v1/sessions``. Knowing one
lets nobody act for the session: a message is heard only on the session's own connection, and
a connection becomes that only with the resume token, which no view has.
"""

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from scheduler.core.placement import Need
from scheduler.core.snapshot import Snapshot
from scheduler.observe.metrics import CONTENT_TYPE, Metrics
from scheduler.observe.trace import explain, unknown

NO_STORE = {"cache-control": "no-store"}
WHOLE_WAY = frozenset({"asr", "nmt", "tts"})


def record_routes(snapshot: Callable[[], Snapshot], metrics: Metrics) -> list[Route]:
    """``/api/v1/traces/{id}``, ``/api/v1/placement?from=en&to=es`` and ``/metrics``.

    The instant of the call is when the scheduler began.
    """
    begun_ms = snapshot().now_ms

    async def trace(request: Request) -> JSONResponse:
        found = snapshot().trace(request.path_params["name"])
        if found is None:
            error = unknown(request.path_params["name"], begun_ms)
            return JSONResponse({"error": error}, 404, NO_STORE)
        return JSONResponse(explain(found), headers=NO_STORE)

    async def placement(request: Request) -> JSONResponse:
        src, tgt = (request.query_params.get(name) for name in ("from", "to"))
        if not src or not tgt:
            return JSONResponse({"error": "say ?from=LANG&to=LANG"}, 400, NO_STORE)
        need = Need(WHOLE_WAY, ((src, tgt),))
        seen = snapshot()
        view = {"need": need.text, "nodes": seen.nodes(need), "facts": seen.stats()["facts"]}
        return JSONResponse(view, headers=NO_STORE)

    async def scrape(_: Request) -> Response:
        return Response(metrics.exposition(), headers=NO_STORE, media_type=CONTENT_TYPE)

    return [
        Route("/api/v1/traces/{name}", trace),
        Route("/api/v1/placement", placement),
        Route("/metrics", scrape),
    ]
