"""Labels of Gradio's own parts on the page for tables, in the language of the interface."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr

from tasks.spec import Lang, TaskSpec
from ui.words import phrase

OWN_WORDS = "-"  # in place of a task: what is done is written
LABELS = {
    "file": "file", "earlier": "earlier", "column": "column", "task": "task", "target": "target",
    "labels": "labels", "first": "first", "frame": "result", "unsure": "unsure", "group": "group",
    "truth": "truth", "right": "review.label", "train": "review.train",
}  # fmt: skip
BUTTONS = {
    "preview": "preview", "run": "run", "pause": "pause", "resume": "resume", "stop": "stop",
    "remove": "remove", "keep": "review.keep",
}  # fmt: skip
CHARTS = ("shares", "confidence", "groups")


def labels_in(language: Lang, tasks: Mapping[str, TaskSpec]) -> dict[str, Any]:
    """Part -> what becomes of it. Conversation is no choice: it is asked for in words."""

    def words(key: str) -> str:
        return str(getattr(phrase(f"tables.{key}"), language))

    titled = [(getattr(t.title, language), t.name) for t in tasks.values() if not t.conversation]
    updates = {name: gr.update(label=words(key)) for name, key in LABELS.items()}
    updates |= {name: gr.update(value=words(key)) for name, key in BUTTONS.items()}
    updates |= {name: gr.update(title=words(name)) for name in CHARTS}
    choices = [*titled, (words("words"), OWN_WORDS)]
    updates["task"] = gr.update(label=words("task"), choices=choices)
    updates["wish"] = gr.update(label=words("words"), placeholder=words("words.hint"))
    return updates
