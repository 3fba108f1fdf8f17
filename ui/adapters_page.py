"""The page about what answers: every adapter with its figures, and a try beside the bare base."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import gradio as gr
from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from agent.agent import Agent
from agent.events import Failed
from agent.inventory import adapter_facts, base_facts, planner_facts
from agent.named_task import task_of
from agent.options import TurnOptions
from agent.turn_record import TurnRecord
from core.access import Keys, Visitor
from core.errors import PatchbayError
from tasks.spec import Both, TaskSpec
from ui.adapters_draw import draw_answer, draw_facts
from ui.frame import draw_header
from ui.icons import icon
from ui.safety import Shield
from ui.tables_app import Name, ToLogin
from ui.words import phrase, say

PATH = "/adapters"
UI_FOLDER = Path(__file__).parent
STYLE_SHEETS = ("style.css", "frame.css", "quality.css", "narrow.css", "tables.css", "adapters.css")
PAGE_SCRIPTS = ("store.js", "looks.js", "tables.js")
MOST_TOKENS = 160  # of either answer
SPEAKS = "() => document.documentElement.dataset.language"


class AdaptersHandlers:
    """What the page's events call. One for all visitors."""

    def __init__(self, agent: Agent, keys: Keys) -> None:
        self.agent, self.keys = agent, keys

    def show(self, language: str, request: gr.Request) -> list[Any]:
        """The facts, the adapters to pick from, and Gradio's own labels in the language."""
        allowed = self._visitor(request).allowed
        facts = adapter_facts(self.agent, allowed)
        names = [one.name for one in facts if one.task]
        first = names[0] if names else None
        return [
            draw_facts(planner_facts(), base_facts(self.agent), facts),
            gr.update(choices=names, value=first, **_label("try.adapter", language)),
            gr.update(**_label("try.request", language)),
            gr.update(value=_said("try.go", language), interactive=bool(names)),
        ]

    def compare(self, adapter: str | None, text: str, request: gr.Request) -> Iterator[list[str]]:
        """Answer with the adapter, then by the base alone; drawn as they come."""
        adapters = self.agent.engine.adapters
        task = task_of(adapter, self.agent.tasks, adapters) if adapter in adapters.names() else None
        if not adapter or task is None or not text.strip():
            yield [f'<p class="pb-note">{say("try.empty")}</p>', ""]
            return
        visitor = self._visitor(request)
        drawn = ["", ""]
        for side, (name, chosen) in enumerate(
            ((Both(en=adapter, zh=adapter), adapter), (phrase("try.base"), None))
        ):
            for record in self._answers(text, task, chosen, visitor):
                drawn[side] = draw_answer(name, record, task)
                yield drawn

    def _answers(
        self, text: str, task: TaskSpec, adapter: str | None, visitor: Visitor
    ) -> Iterator[TurnRecord]:
        """What has come of the answer so far, again and again."""
        record = TurnRecord()
        options = TurnOptions(
            max_tokens=MOST_TOKENS,
            allowed=visitor.allowed,
            visitor=visitor.name,
            use={task.name: adapter},
        )
        try:
            self.agent.limits.count_request(visitor.name)
            for event in self.agent.perform(text, task=task.name, options=options):
                record.apply(event)
                yield record
        except PatchbayError as error:
            record.apply(Failed(str(error), type(error).__name__))
            yield record

    def _visitor(self, request: gr.Request) -> Visitor:
        return self.keys.named(request.username, request.client.host if request.client else "")


def build_adapters_page(agent: Agent, keys: Keys, profile: str) -> gr.Blocks:
    """The whole page."""
    handlers = AdaptersHandlers(agent, keys)
    base = agent.engine.fingerprints().get("base", "")
    page = gr.Blocks(title="Patchbay", analytics_enabled=False)
    with page:
        _html("pb-top", draw_header(base, profile))
        with gr.Column(elem_id="pb-tables"):
            _html(
                "pb-adapters-head",
                f'<p><a class="pb-back" href="../">{icon("undo")}{say("adapters.back")}</a></p>'
                f"<h2>{say('adapters.title')}</h2><p>{say('adapters.text')}</p>",
            )
            _html("pb-try-head", f"<h3>{say('try.title')}</h3><p>{say('try.text')}</p>")
            adapter = gr.Dropdown([], elem_id="pb-try-adapter")
            text = gr.Textbox("", lines=2, max_length=4000, elem_id="pb-try-text")
            go = gr.Button("", variant="primary", elem_id="pb-try-go")
            with gr.Row(elem_id="pb-beside"):
                sides = [gr.HTML("", elem_id="pb-with"), gr.HTML("", elem_id="pb-without")]
            facts = gr.HTML("", elem_id="pb-adapter-facts")
            language = gr.Textbox("en", visible=False)
            spoken = gr.Button("language", elem_id="pb-speak")
    shown: dict[str, Any] = {
        "inputs": [language],
        "outputs": [facts, adapter, text, go],
        "js": SPEAKS,
        "api_visibility": "private",
        "show_progress": "hidden",
    }
    with page:
        page.load(handlers.show, **shown).then(
            None, js="() => { document.documentElement.dataset.ready = 'true' }"
        )
        spoken.click(handlers.show, **shown)
        for listen in (go.click, text.submit):
            listen(
                handlers.compare,
                [adapter, text],
                sides,
                api_visibility="private",
                show_progress="hidden",
                concurrency_limit=None,
            )
    return page


def mount_adapters(
    host: FastAPI,
    agent: Agent,
    keys: Keys,
    *,
    profile: str,
    name: Name | None,
    looks: Mapping[str, Any],
) -> None:
    """Add the page to the app that the chat's page is mounted on after it.

    Args:
        name: who is logged in; None where nobody need be.
        looks: what is the same for all pages, see `gr.mount_gradio_app`.
    """
    page = build_adapters_page(agent, keys, profile)
    page.queue(default_concurrency_limit=None, api_open=False)

    @host.get(PATH)
    def without_slash(request: Request) -> Response:
        """As people write it."""
        return RedirectResponse(f"{PATH.strip('/')}/")

    style = "".join((UI_FOLDER / sheet).read_text(encoding="utf-8") for sheet in STYLE_SHEETS)
    script = "".join((UI_FOLDER / file).read_text(encoding="utf-8") for file in PAGE_SCRIPTS)
    guards = [Middleware(Shield), *([Middleware(ToLogin, name=name, path=PATH)] if name else [])]
    gr.mount_gradio_app(
        host,
        page,
        PATH,
        auth_dependency=name,
        max_file_size=0,
        head=f"<style>{style}</style><script>{script}</script>",
        app_kwargs={"middleware": guards},
        **looks,
    )


def _label(key: str, language: str) -> dict[str, Any]:
    return {"label": _said(key, language)}


def _said(key: str, language: str) -> str:
    both = phrase(key)
    return both.zh if language == "zh" else both.en


def _html(name: str, text: str) -> gr.HTML:
    return gr.HTML(text, elem_id=name, apply_default_css=False, js_on_load=None)
