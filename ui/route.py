"""Draw how an answer was routed: what decided, and a row for each step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from urllib.parse import quote

from core.errors import UnknownName
from tasks import languages
from tasks.spec import Both, TaskSpec
from ui.bars import percent
from ui.conversation import StepView, TurnView
from ui.words import say, show, words

Tasks = Mapping[str, TaskSpec]


def draw_why(turn: TurnView, tasks: Tasks) -> str:
    """What decided and how long it took, the steps as a table, and the fingerprints folded away."""
    reason = f"reason.{turn.reason}"
    decided = say(reason) if reason in words() else escape(turn.reason)
    took = say("route.milliseconds", n=f"{turn.milliseconds:.0f}")
    if not turn.by_model:
        return f'<div class="pb-why"><p>{say("route.files")}</p></div>'
    heads = "".join(
        f'<th scope="col">{say(f"route.{name}")}</th>' for name in ("step", "sure", "answered")
    )
    rows = "".join(_row(step, tasks) for step in turn.steps)
    return (
        f'<div class="pb-why"><p>{say("route.decided")}: {decided} · {say("route.time")} {took}</p>'
        f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>{_prints(turn)}</div>"
    )


def task_title(name: str, tasks: Tasks) -> Both:
    """The task's title; its name where the task is no longer there."""
    task = tasks.get(name)
    return task.title if task else Both(en=name, zh=name)


def language_phrase(code: str, key: str) -> str:
    """A phrase of words.yaml about a language; what is no code stands as it is."""
    try:
        name = Both(en=languages.name(code), zh=languages.name(code, "zh"))
    except (LookupError, ValueError, UnknownName):
        name = Both(en=code, zh=code)
    both = words()[key]
    return show(Both(en=both.en.format(name=name.en), zh=both.zh.format(name=name.zh)))


def names_of(steps: Sequence[StepView], tasks: Tasks) -> str:
    """The skills of a plan in their order."""
    return '<span class="pb-then">→</span>'.join(name_of(step, tasks) for step in steps)


def name_of(step: StepView, tasks: Tasks) -> str:
    """A step's skill, with the language it translates into."""
    task = tasks.get(step.task)
    code = task.target_language(step.slots) if task else None
    more = f' <span class="pb-soft">{language_phrase(code, "route.to")}</span>' if code else ""
    return f"<strong>{show(task_title(step.task, tasks))}</strong>{more}"


def answered_by(step: StepView) -> str:
    """The adapter, or that there is none."""
    return say("route.adapter", name=step.adapter) if step.adapter else say("route.base")


def _row(step: StepView, tasks: Tasks) -> str:
    facts = " ".join(_languages(step, tasks.get(step.task)))
    drawn = _decoding(step)
    near = f"{say('route.nearest')}: <q>{escape(step.nearest)}</q>" if step.nearest else ""
    about = "<br>".join(filter(None, (facts, drawn, near)))
    soft = f' <span class="pb-soft">{about}</span>' if about else ""
    return (
        f"<tr><td>{show(task_title(step.task, tasks))}{soft}</td>"
        f"<td>{percent(step.confidence)}</td><td>{answered_by(step)}{_evidence(step)}</td></tr>"
    )


def _evidence(step: StepView) -> str:
    """The way to how the adapter was trained and judged, for whom the workshop is open."""
    if not step.adapter:
        return ""
    place = f"workshop/#{quote(step.adapter)}"
    return f' <a class="pb-owner" href="{escape(place)}">{say("route.evidence")}</a>'


def _languages(step: StepView, task: TaskSpec | None) -> list[str]:
    pairs = (
        (task.source_language(step.slots) if task else None, "route.from"),
        (task.target_language(step.slots) if task else None, "route.to"),
    )
    return [language_phrase(code, key) for code, key in pairs if code]


def _decoding(step: StepView) -> str:
    """What the text was drawn with."""
    if step.temperature is None:
        return ""
    most = f" · {say('facts.most', n=f'{step.most:,}')}" if step.most else ""
    return say("facts.temperature", t=f"{step.temperature:g}") + most


def _prints(turn: TurnView) -> str:
    if not turn.fingerprints:
        return ""
    prints = " ".join(f"{key}={value}" for key, value in sorted(turn.fingerprints.items()))
    return (
        '<button type="button" class="pb-plain" data-act="unfold" aria-expanded="false">'
        f"{say('route.made')}</button><code hidden>{escape(prints)}</code>"
    )
