"""Slash commands: which task one names, and what follows it."""

from __future__ import annotations

from collections.abc import Mapping

import regex

from agent.planning import labels
from core.errors import UnknownName
from tasks import languages
from tasks.spec import TaskSpec, find_task

COMMAND = regex.compile(r"/(?P<name>[A-Za-z][\w-]*)(?=\s|$)(?P<rest>.*)", regex.S)


def listed(tasks: Mapping[str, TaskSpec]) -> str:
    """The commands there are, in a sentence."""
    lines = [
        f"/{name}: {task.title.en}, {task.title.zh}"
        for task in tasks.values()
        for name in dict.fromkeys((*task.commands, task.name))
    ]
    return "Commands, in front of a text: " + "; ".join([*lines, "/help"]) + "."


def find(text: str, tasks: Mapping[str, TaskSpec]) -> tuple[TaskSpec, str] | None:
    """The task of the command that a text begins with, and the rest; None where there is none.

    Raises:
        UnknownName: no task has such a command.
    """
    match = COMMAND.match(text)
    if match is None:
        return None
    try:
        task = find_task(tasks, match["name"].lower())
    except UnknownName as error:
        names = [name for task in tasks.values() for name in (task.name, *task.commands)]
        raise UnknownName("command", match["name"], names) from error
    return task, match["rest"].strip()


def options(task: TaskSpec, text: str) -> tuple[str, str]:
    """The language or label list that a command begins with, and the rest."""
    first, _, rest = text.partition(" ")
    if task.target_slot and languages.parse(first.strip(":：,，")):
        return f"to {first.strip(':：,，')}", rest.strip()
    if task.labels_slot:
        left, colon, right = (
            regex.split(r"([:：]\s)", text, maxsplit=1)
            if regex.search(r"[:：]\s", text[:300])
            else (text, "", "")
        )
        if colon and (labels.find(f"labels: {left}") or []):
            return f"labels: {left}", right.strip()
    return "", text
