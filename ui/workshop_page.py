"""The workshop: a page for owners alone, where answers become rows, adapters and verdicts."""

from __future__ import annotations

from typing import Any

import gradio as gr
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from starlette.middleware import Middleware
from starlette.requests import Request

from agent.agent import Agent
from agent.feedback.store import Feedback
from ui.frame import draw_header
from ui.icons import icon
from ui.mounting import mount_beside, still
from ui.owner import LOCAL_OWNER, Owner, OwnersOnly
from ui.words import phrase, say
from ui.workshop_download import classifier_route
from ui.workshop_handlers import WorkshopHandlers
from workshop.jobs import Jobs

PATH, DOOR = "/workshop", "/workshop-door"
STYLE_SHEETS = (
    "style.css", "frame.css", "quality.css", "narrow.css", "tables.css", "adapters.css",
    "workshop.css",
)  # fmt: skip
SCRIPTS = ("save.js", "workshop.js")
FILES = [".csv", ".tsv", ".xlsx", ".json", ".jsonl", ".ndjson", ".parquet"]
MAX_FILE_BYTES = 20_000_000
WITH_VIEW = """(file, agreed) =>
    [file, agreed, document.querySelector('.pb-workshop')?.dataset.view ?? '']"""
BRIDGE = "patchbayWorkshop.connect((data) => trigger('act', data));"


def build_workshop_page(agent: Agent, feedback: Feedback, profile: str) -> gr.Blocks:
    """The whole page."""
    handlers = WorkshopHandlers(agent, feedback, lambda request: request.username or LOCAL_OWNER)
    page = gr.Blocks(title="Patchbay", analytics_enabled=False)
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    with page:
        still("pb-top", draw_header(agent.engine.fingerprints().get("base", ""), profile))
        with gr.Column(elem_id="pb-tables"):
            still(
                "pb-workshop-head",
                f'<p><a class="pb-back" href="../">{icon("undo")}{say("workshop.back")}</a></p>'
                f"<h2>{say('workshop.title')}</h2><p>{say('workshop.text')}</p>",
            )
            panel = still("pb-workshop", "")
            losses = gr.LinePlot(
                x="step", y="loss", color="of", height=240, visible=False, elem_id="pb-losses"
            )
            with gr.Column(elem_id="pb-workshop-file") as files:
                agreed = gr.Checkbox(False, label=_both("review.agreed"))
                upload = gr.UploadButton(_both("review.file"), file_types=FILES)
        view = gr.Textbox("", visible=False)
        bridge = gr.HTML(None, elem_id="pb-bridge", html_template="", js_on_load=BRIDGE)
        drawn = [panel, losses, files]
        shown = page.load(handlers.show, None, drawn, **quiet)
        shown.then(None, js="() => patchbayWorkshop.begin()")
        acted = bridge.act(  # type: ignore[attr-defined]  # Gradio makes events of any name
            handlers.act, outputs=drawn, concurrency_limit=None, **quiet
        )
        taken = upload.upload(
            handlers.take_file, [upload, agreed, view], [*drawn, upload], js=WITH_VIEW, **quiet
        )
        taken.then(None, js="() => patchbayWorkshop.done()")
        acted.then(None, js="() => patchbayWorkshop.done()")
    return page


def mount_workshop(
    host: FastAPI,
    agent: Agent,
    feedback: Feedback,
    *,
    profile: str,
    owner: Owner,
) -> None:
    """Add the page to the app that the chat's page is mounted on after it.

    Args:
        owner: who of those that ask may come in.
    """

    @host.get(DOOR)
    def door(request: Request) -> JSONResponse:
        """Whether who asks is an owner, so that the chat's page shows the way in."""
        return JSONResponse({"open": owner(request) is not None})

    mount_beside(
        host,
        build_workshop_page(agent, feedback, profile),
        PATH,
        style_sheets=STYLE_SHEETS,
        scripts=SCRIPTS,
        name=owner,
        guards=[Middleware(OwnersOnly, owner=owner)],
        max_upload_bytes=MAX_FILE_BYTES,
        routes=[classifier_route(Jobs())],
    )


def _both(key: str) -> str:
    """A label of Gradio's own, in both languages at once."""
    both = phrase(key)
    return f"{both.en} · {both.zh}"
