"""The download of a judging's simple classifier."""

from __future__ import annotations

import asyncio

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from core.errors import PatchbayError, UnknownName
from ui.workshop_refusal import draw_refusal
from workshop.baseline import classifier_zip
from workshop.jobs import Jobs

PATH = "baseline"


def classifier_route(jobs: Jobs) -> Route:
    """A ZIP archive, or HTML that says why there is none. One is made at a time."""
    turn = asyncio.Lock()

    async def answer(request: Request) -> Response:
        try:
            found = jobs.get(request.path_params["job"])
            async with turn:
                body = await run_in_threadpool(classifier_zip, jobs, found)
        except PatchbayError as error:
            return HTMLResponse(draw_refusal(error), 404 if isinstance(error, UnknownName) else 422)
        return Response(body, media_type="application/zip")

    return Route(f"/{PATH}/{{job}}", answer, methods=["POST"])  # a link elsewhere makes none
