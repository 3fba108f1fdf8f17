"""Draw turns: plain data in, messages for the chat out. Everything put into HTML is escaped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from agent.step_run import CUT_SHORT
from tasks.spec import Both, TaskSpec
from ui import markdown
from ui.bars import draw_bars, percent
from ui.better import draw_better
from ui.consent import draw_consent
from ui.conversation import Conversation, StepView, TurnView
from ui.icons import icon
from ui.quality import draw_notices, expected, sureness
from ui.route import answered_by, draw_why, language_phrase, task_title
from ui.sources import draw_sources
from ui.translated_files import draw_translated_files
from ui.versions import draw_earlier, draw_versions
from ui.words import phrase, say, show, words

GradioMessage = dict[str, Any]  # of a chat
GradioContent = dict[str, Any]  # a part of a message
Tasks = Mapping[str, TaskSpec]

MAX_REQUEST_SHOWN = 20_000  # characters of a request; the whole of it is still answered


def draw_conversation(conversation: Conversation, tasks: Tasks) -> list[GradioMessage]:
    """The last turns as chat messages; above them, how many more there are."""
    shown = conversation.turns[-conversation.drawn :]
    earlier = draw_earlier(conversation.earlier)
    above = [{"role": "assistant", "content": [_html(earlier)]}] if earlier else []
    return above + [
        message for turn in shown for message in draw_turn(turn, tasks, latest=turn is shown[-1])
    ]


def draw_turn(turn: TurnView, tasks: Tasks, latest: bool = True) -> list[GradioMessage]:
    """A request and its answer. Only the latest can be answered again or taken back."""
    asked_back = bool(turn.offers) or turn.error_kind == "AsksBack"  # there is no route to show
    routed, running = bool(turn.steps), turn.status == "running"
    parts = [_html(_route(turn, tasks))] if (routed or running) and not asked_back else []
    for index, step in enumerate([] if asked_back else turn.steps):
        parts += _step(index, step, turn, tasks)
    if routed or not running:
        parts.append(_html(_foot(turn, tasks, latest)))
    if better := draw_better(turn):
        parts.append(_html(better))  # by itself: the foot changes while somebody writes here
    if consent := draw_consent(turn):
        parts.append(_html(consent))
    return [
        {"role": "user", "content": [_html(_request(turn))]},
        {"role": "assistant", "content": parts},
    ]


def button(act: str, turn: TurnView, name: str, **more: str) -> str:
    """An icon button; its name is its tooltip, too."""
    done = f'<span class="pb-tip pb-done">{say("act.copied")}</span>' if act == "copy" else ""
    extra = "".join(f' {key.replace("_", "-")}="{escape(value)}"' for key, value in more.items())
    return (
        f'<button type="button" class="pb-act" data-act="{act}" data-turn="{escape(turn.id)}"'
        f'{extra}>{icon(act)}<span class="pb-tip">{say(name)}</span>{done}</button>'
    )


def _html(text: str) -> GradioContent:
    props = {"apply_default_css": False}
    return {
        "type": "component",
        "component": "html",
        "value": text,
        "constructor_args": {},
        "props": props,
    }


def _text(text: str) -> GradioContent:
    return {"type": "text", "text": markdown.safe(text)}


def _request(turn: TurnView) -> str:
    shown = turn.text[:MAX_REQUEST_SHOWN] + ("…" if len(turn.text) > MAX_REQUEST_SHOWN else "")
    edit = button("edit", turn, "act.edit")
    who = f'<span class="pb-hidden">{say("you.said")}: </span>'
    # What may need scrolling can be reached by the tab key.
    reach = ' tabindex="0"' if len(shown) > 400 or shown.count("\n") > 8 else ""
    said = f'<div class="pb-said" dir="auto"{reach}>{escape(shown)}{_attached(turn)}</div>'
    return f'<div class="pb-request">{who}{said}{edit}</div>'


def _attached(turn: TurnView) -> str:
    """The names of the files that came along, with how long they are."""
    chips = ""
    for attachment in turn.attached:
        document = attachment.read
        pages = f"{document.pages:,} {say('file.pages')}" if document.pages else ""
        tokens = f"{attachment.tokens:,} {say('file.tokens')}" if attachment.tokens else ""
        facts = " · ".join(filter(None, [pages, tokens]))
        chips += (
            f'<li class="pb-file">{icon("file")}<b class="pb-name" dir="auto">'
            f'{escape(document.name)}</b><span class="pb-soft">{facts}</span></li>'
        )
    return f'<ul class="pb-files">{chips}</ul>' if chips else ""


def _route(turn: TurnView, tasks: Tasks) -> str:
    if not turn.steps:
        progress = _queue_position(turn.place) if turn.place else say("route.working")
        return f'<div class="pb-route pb-wait"><i></i>{progress}</div>'
    names = _names(turn.steps, tasks)
    alone = turn.steps[0] if len(turn.steps) == 1 and turn.by_model else None
    by = f'<span class="pb-soft">{answered_by(alone)}</span>' if alone else ""
    by += expected(alone, tasks.get(alone.task)) if alone and alone.status != "pending" else ""
    return (
        '<details class="pb-route"><summary>'
        f'<span class="pb-hidden">{say("route.label")}: </span>{names}'
        f"{sureness(turn.confidence, turn.reason)}{by}{icon('chevron')}"
        f"</summary>{draw_why(turn, tasks)}</details>"
    )


def _queue_position(place: int) -> str:
    both, teens = words()["route.line"], place % 100 in {11, 12, 13}
    ending = "th" if teens else {1: "st", 2: "nd", 3: "rd"}.get(place % 10, "th")
    return show(Both(en=both.en.format(place=f"{place}{ending}"), zh=both.zh.format(place=place)))


def _names(steps: Sequence[StepView], tasks: Tasks) -> str:
    return '<span class="pb-then">→</span>'.join(_name(step, tasks) for step in steps)


def _name(step: StepView, tasks: Tasks) -> str:
    task = tasks.get(step.task)
    code = task.target_language(step.slots) if task else None
    more = f' <span class="pb-soft">{language_phrase(code, "route.to")}</span>' if code else ""
    return f"<strong>{show(task_title(step.task, tasks))}</strong>{more}"


def _step(index: int, step: StepView, turn: TurnView, tasks: Tasks) -> Iterator[GradioContent]:
    head = "" if len(turn.steps) == 1 else _step_head(index, step, turn, tasks)
    notes = draw_notices(step.notices, after=False)
    if head or notes:
        yield _html(head + notes)
    if step.labels:
        yield _html(draw_bars(step, tasks.get(step.task)))
    elif step.text and not step.sources:
        yield _text(markdown.with_table_heads(step.text) if step.blocks else step.text)
    if step.sources:
        yield _html(draw_sources(step.sources, step.text, tasks.get(step.task)))
    if step.blocks and step.blocks.texts:
        task = tasks.get(step.task)
        language = task.target_language(step.slots) if task else None
        yield _html(draw_translated_files(turn, index, language))
    if doubts := draw_notices(step.notices, after=True):
        yield _html(doubts)


def _step_head(index: int, step: StepView, turn: TurnView, tasks: Tasks) -> str:
    begun = step.status in {"running", "done"} or step.text
    by = f'<span class="pb-soft">{answered_by(step)}</span>' if begun else ""
    by += expected(step, tasks.get(step.task)) if begun else ""
    done = step.status == "done" and step.text
    copy = button("copy", turn, "act.copy.step", data_step=str(index)) if done else ""
    return (
        f'<div class="pb-step" data-status="{step.status}"><i></i>'
        f'<span class="pb-hidden">{say("step.number", n=index + 1)}: </span>'
        f'{_name(step, tasks)}<span class="pb-number">{percent(step.confidence)}</span>{by}'
        f'<span class="pb-state">{say(f"step.{step.status}")}</span>{copy}</div>'
    )


def _foot(turn: TurnView, tasks: Tasks, latest: bool) -> str:
    if turn.status == "running":
        return (
            f'<div class="pb-working" role="status"><i></i><i></i><i></i>'
            f'<span class="pb-hidden">{say("answer.working")}</span>{_progress(turn)}</div>'
        )
    if turn.offers:
        return _offers(turn, tasks, latest)
    error = _error(turn, latest) if turn.status == "failed" else ""
    more = _plain_button("more", turn, "end.more") if latest and turn.goes_on else ""
    why = say(f"end.{turn.stopped}") if turn.stopped in CUT_SHORT else ""
    ended = f'<p class="pb-note">{why} {more}</p>' if why else ""
    thanks = f'<p class="pb-note pb-kept">{say("again.kept")}</p>' if turn.corrects else ""
    again = _again(turn, tasks, [turn.tasks], "again.as") if latest and turn.steps else ""
    return error + ended + thanks + _actions(turn, latest) + again


def _progress(turn: TurnView) -> str:
    """How far the step that runs is with what takes long."""
    counted = next((step.progress for step in turn.steps if step.progress), None)
    if counted is None:
        return ""
    kind, done, total = counted
    said = say(f"progress.{kind}", done=f"{done:,}", total=f"{total:,}")
    return f'<span class="pb-progress">{said}</span>'


def _error(turn: TurnView, latest: bool) -> str:
    key = f"error.{turn.error_kind}"
    advice = phrase(key if key in words() else "error.other")
    # The Chinese sentence says what happened and what to do; English has the error's own message.
    sentences = Both(en=f"{turn.error} {advice.en}".strip(), zh=advice.zh)
    asks = turn.error_kind == "AsksBack"
    detail = _detail(turn.error, folded=not asks) if turn.error else ""
    retry = _plain_button("retry", turn, "error.again") if latest and not asks else ""
    look, title = ("pb-error pb-asks", "asks.title") if asks else ("pb-error", "error.title")
    return (
        f'<div class="{look}" role="alert"><strong>{say(title)}</strong>'
        f"<p>{show(sentences)}</p>{detail}"
        f'<p class="pb-choices">{retry}{_plain_button("edit", turn, "error.change")}</p></div>'
    )


def _detail(message: str, folded: bool) -> str:
    """The error's own message on the Chinese page: a question is in the request's language, and
    everything else in English, behind a press.
    """
    own = f'<p class="pb-detail" lang="zh">{escape(message)}</p>'
    if not folded:
        return own
    return f'<details class="pb-detail"><summary>{say("error.detail")}</summary>{own}</details>'


def _offers(turn: TurnView, tasks: Tasks, latest: bool) -> str:
    """The two likeliest plans to pick from, in place of an answer, and the other skills."""
    plans = [[step.task for step in steps] for steps in turn.offers]
    chips = "".join(
        f'<button type="button" class="pb-chip" data-act="pick" data-turn="{escape(turn.id)}" '
        f'data-tasks="{escape(" ".join(plan))}"{"" if latest else " disabled"}>'
        f"{_names(steps, tasks)}"
        f'<span class="pb-number">{percent(min(step.confidence for step in steps))}</span></button>'
        for plan, steps in zip(plans, turn.offers, strict=True)
    )
    title = f"pb-which-{escape(turn.id)}"
    box = (
        f'<div class="pb-error pb-asks" role="group" aria-labelledby="{title}">'
        f'<strong id="{title}">{say("which.title")}</strong><p class="pb-chips">{chips}</p>'
        f'<p class="pb-note">{say("which.kept")}</p></div>'
    )
    again = _again(turn, tasks, plans, "which.else") if latest else ""
    return box + _actions(turn, latest) + again


def _plain_button(act: str, turn: TurnView, name: str) -> str:
    return (
        f'<button type="button" class="pb-plain" data-act="{act}" data-turn="{escape(turn.id)}">'
        f"{say(name)}</button>"
    )


def _actions(turn: TurnView, latest: bool) -> str:
    buttons = []
    if turn.answer:
        every = len([step for step in turn.steps if step.text]) > 1
        buttons.append(button("copy", turn, "act.copy.all" if every else "act.copy"))
    if latest and not turn.offers and turn.error_kind != "AsksBack":  # it would ask the same again
        buttons.append(button("retry", turn, "act.retry"))
    if latest:
        buttons.append(button("undo", turn, "act.undo"))
    if turn.answer and turn.status == "done":
        for act, rating in (("like", 1), ("dislike", -1)):
            pressed = "true" if turn.rating == rating else "false"
            buttons.append(button(act, turn, f"act.{act}", aria_pressed=pressed))
    rated = f'<span class="pb-soft pb-kept">{say("act.rated")}</span>' if turn.rating else ""
    cost = say("end.cost", tokens=turn.tokens, seconds=f"{turn.seconds:.1f}")
    shown = f'<span class="pb-cost">{cost}</span>' if turn.status == "done" and turn.tokens else ""
    versions = draw_versions(turn)
    return f'<div class="pb-actions">{versions}{"".join(buttons)}{rated}{shown}</div>'


def _again(turn: TurnView, tasks: Tasks, plans: Sequence[Sequence[str]], label: str) -> str:
    """The skills to answer with in place of those plans, each always in its place."""
    buttons = "".join(
        f'<button type="button" class="pb-other" data-act="reroute" data-task="{escape(name)}" '
        f'data-turn="{escape(turn.id)}"{" disabled" if [name] in plans else ""}>'
        f"{show(task.title)}</button>"
        for name, task in tasks.items()
    )
    return f'<div class="pb-again"><span>{say(label)}</span>{buttons}</div>'
