"""The page for whole tables: its parts in Gradio Blocks, tied to the handlers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from ui.frame import draw_header
from ui.icons import icon
from ui.mounting import still
from ui.tables_handlers import TablesHandlers
from ui.words import say

FILES = [".csv", ".tsv", ".tab", ".xlsx", ".jsonl", ".ndjson", ".json", ".parquet"]
POLL_SECONDS = 1.0
SPEAKS = "() => [document.documentElement.dataset.language, null]"
LANGUAGES = [
    "French",
    "German",
    "Spanish",
    "Chinese",
    "English",
    "Japanese",
    "Italian",
    "Portuguese",
]
# Of a result's columns: the text, then as many as there are. Left to itself, Gradio gives a long
# text all the room there is, and the results stand beyond it.
WIDTHS: list[int | str] = ["360px", *["130px"] * 60]


def build_tables_page(handlers: TablesHandlers, base: str, profile: str) -> gr.Blocks:
    """The whole page.

    Args:
        handlers: what its events call; they are told its parts.
        base, profile: for the header.
    """
    page = gr.Blocks(title="Patchbay", analytics_enabled=False, delete_cache=(3600, 3600))
    with page:
        still("pb-top", draw_header(base, profile))
        with gr.Column(elem_id="pb-tables"):
            parts = _source() | _setup() | _trial() | _progress() | _outcome()
        handlers.parts = parts
        _tie(page, handlers, parts)
    return page


def _source() -> dict[str, Any]:
    still(
        "pb-tables-head",
        f'<p><a class="pb-back" href="../">{icon("undo")}{say("tables.back")}</a></p>'
        f"<h2>{say('tables.title')}</h2><p>{say('tables.text')}</p>"
        f'<p class="pb-soft">{say("tables.kept")}</p>',
    )
    return {
        "stored": gr.BrowserState({}, storage_key="patchbay.tables", secret="patchbay"),
        "language": gr.Textbox("en", visible=False),
        "spoken": gr.Button("language", elem_id="pb-speak"),
        "file": gr.File(file_types=FILES, height=130, elem_id="pb-table-file"),
        "earlier": gr.Dropdown([], visible=False, elem_id="pb-earlier"),
        "problem": gr.HTML("", elem_id="pb-problem"),
        "timer": gr.Timer(POLL_SECONDS, active=False),
    }


def _setup() -> dict[str, Any]:
    with gr.Column(visible=False) as setup:
        parts: dict[str, Any] = {"setup": setup, "source": gr.HTML("")}
        with gr.Row():
            parts["column"] = gr.Dropdown([], elem_id="pb-column")
            parts["task"] = gr.Dropdown([], elem_id="pb-task")
        parts["target"] = gr.Dropdown(LANGUAGES, allow_custom_value=True, visible=False)
        parts["labels"] = gr.Textbox("", visible=False)
        parts["wish"] = gr.Textbox("", visible=False, elem_id="pb-wish")
        parts["preview"] = gr.Button("", variant="primary", elem_id="pb-preview")
        parts["remove"] = gr.Button("", size="sm", elem_id="pb-remove")
    return parts


def _trial() -> dict[str, Any]:
    with gr.Column(visible=False) as trial:
        return {
            "trial": trial,
            "plan": gr.HTML(""),
            "first": gr.Dataframe(
                interactive=False, wrap=True, max_chars=400, elem_id="pb-first-rows"
            ),
            "run": gr.Button("", variant="primary", elem_id="pb-run"),
        }


def _progress() -> dict[str, Any]:
    with gr.Column(visible=False) as column:
        parts = {"progress_part": column, "progress": gr.HTML("", elem_id="pb-progress")}
        with gr.Row():
            parts["pause"] = gr.Button("", visible=False, elem_id="pb-pause")
            parts["resume"] = gr.Button("", visible=False, variant="primary", elem_id="pb-resume")
            parts["stop"] = gr.Button("", visible=False, elem_id="pb-stop")
        parts["failures"] = gr.HTML("", elem_id="pb-failures")
    return parts


def _outcome() -> dict[str, Any]:
    with gr.Column(visible=False) as outcome:
        parts: dict[str, Any] = {
            "outcome": outcome,
            "downloads": gr.HTML("", elem_id="pb-downloads"),
            "unsure": gr.Checkbox(False),
            "frame": gr.Dataframe(
                interactive=False, show_search="filter", max_height=480, wrap=True,
                max_chars=400, elem_id="pb-result", column_widths=WIDTHS,
            ),
        }  # fmt: skip
        with gr.Column(visible=False) as judgement:
            parts["judgement"] = judgement
            with gr.Row():
                parts["shares"] = gr.BarPlot(
                    x="label", y="rows", y_title=" ", x_title=" ", height=240, y_lim=[0, None]
                )
                parts["confidence"] = gr.BarPlot(
                    x="confidence",
                    y="rows",
                    y_title=" ",
                    x_title=" ",
                    height=240,
                    y_lim=[0, None],
                    x_label_angle=45,
                )
            with gr.Row():
                parts["group"] = gr.Dropdown([], elem_id="pb-group")
                parts["truth"] = gr.Dropdown([], elem_id="pb-truth")
            parts["groups"] = gr.BarPlot(
                x="group", y="rows", color="label", y_title=" ", x_title=" ", height=260,
                y_lim=[0, None], visible=False,
            )  # fmt: skip
            parts["agreement"] = gr.HTML("", elem_id="pb-agreement")
            still("pb-review", f"<h3>{say('tables.review')}</h3>")
            parts["row"] = gr.HTML("", elem_id="pb-review-row")
            parts["right"] = gr.Radio([], elem_id="pb-right")
            parts["train"] = gr.Checkbox(False, elem_id="pb-train")
            parts["keep"] = gr.Button("", elem_id="pb-keep")
    return parts


def _tie(page: gr.Blocks, handlers: TablesHandlers, parts: dict[str, Any]) -> None:
    every = [part for name, part in parts.items() if name != "language"]
    stored = parts["stored"]

    def on(listen: Any, call: Any, inputs: Sequence[str] = (), **more: Any) -> Any:
        given = [*(parts[name] for name in inputs), stored]
        options = {"api_visibility": "private", "show_progress": "hidden"} | more
        return listen(call, given, every, concurrency_limit=None, **options)

    speak: dict[str, Any] = {"inputs": [parts["language"], stored], "outputs": every, "js": SPEAKS}
    shown = page.load(handlers.speak, **speak, api_visibility="private")
    shown.then(
        handlers.show, [stored], every, api_visibility="private", show_progress="hidden"
    ).then(None, js="() => { document.documentElement.dataset.ready = 'true' }")
    parts["spoken"].click(handlers.speak, **speak, api_visibility="private")
    on(parts["file"].upload, handlers.upload, ["file"], show_progress="minimal")
    on(parts["earlier"].input, handlers.switch, ["earlier"])
    parts["task"].change(
        handlers.forms, [parts["task"]], every, api_visibility="private", show_progress="hidden"
    )
    asked = ("column", "task", "wish", "target", "labels")
    on(parts["preview"].click, handlers.preview, asked, show_progress="minimal",
       show_progress_on=parts["preview"])  # fmt: skip
    on(parts["wish"].submit, handlers.preview, asked)
    for name, call in (
        ("run", handlers.run), ("resume", handlers.run), ("pause", handlers.pause),
        ("stop", handlers.stop), ("remove", handlers.remove),
    ):  # fmt: skip
        on(parts[name].click, call)
    on(parts["timer"].tick, handlers.tick, trigger_mode="once")
    on(parts["unsure"].input, handlers.order, ["unsure"])
    on(parts["group"].input, handlers.grouped, ["group"])
    on(parts["truth"].input, handlers.judged, ["truth"])
    on(parts["keep"].click, handlers.review, ["right", "train"])
