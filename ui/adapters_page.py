"""The page about what answers: every adapter with its figures, and a try beside the bare base."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr
from fastapi import FastAPI

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
from ui.mounting import Name, mount_beside, still
from ui.words import phrase, say

PATH = "/adapters"
STYLE_SHEETS = ("style.css", "frame.css", "quality.css", "narrow.css", "tables.css", "adapters.css")
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
        still("pb-top", draw_header(base, profile))
        with gr.Column(elem_id="pb-tables"):
            still(
                "pb-adapters-head",
                f'<p><a class="pb-back" href="../">{icon("undo")}{say("adapters.back")}</a></p>'
                f"<h2>{say('adapters.title')}</h2><p>{say('adapters.text')}</p>",
            )
            still("pb-try-head", f"<h3>{say('try.title')}</h3><p>{say('try.text')}</p>")
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
) -> None:
    """Add the page to the app that the chat's page is mounted on after it.

    Args:
        name: who is logged in; None where nobody need be.
    """
    page = build_adapters_page(agent, keys, profile)
    mount_beside(host, page, PATH, style_sheets=STYLE_SHEETS, name=name)


def _label(key: str, language: str) -> dict[str, Any]:
    return {"label": _said(key, language)}


def _said(key: str, language: str) -> str:
    both = phrase(key)
    return both.zh if language == "zh" else both.en
