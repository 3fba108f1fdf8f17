"""Draw the choice of adapters for a conversation: a select for each task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from tasks.spec import TaskSpec
from ui.words import option, phrase, say, show


def draw_use(tasks: Mapping[str, TaskSpec], adapters: Mapping[str, Sequence[str]]) -> str:
    """Automatic, each adapter that serves the task, or none. Nothing where there is no adapter.

    Args:
        adapters: task -> names.
    """
    offered = {name: task for name, task in tasks.items() if name in adapters}
    chosen = "".join(_select(task, adapters[name]) for name, task in offered.items())
    legend = f"<legend>{say('use.title')}</legend>"
    return f'<fieldset class="pb-use">{legend}{chosen}</fieldset>' if chosen else ""


def _select(task: TaskSpec, names: Sequence[str]) -> str:
    options = option("auto", phrase("use.auto"))
    options += "".join(f'<option value="use:{escape(n)}">{escape(n)}</option>' for n in names)
    options += option("use:", phrase("use.none"))
    select = f'<select data-task="{escape(task.name)}">{options}</select>'
    return f"<label>{show(task.title)}{select}</label>"
