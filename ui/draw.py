"""Draw turns: plain data in, messages for the chat out. Everything put into HTML is escaped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from agent.step_run import CUT_SHORT
from tasks import languages
from tasks.spec import Both, TaskSpec
from ui import markdown
from ui.answer_as import Targets, draw_plans, draw_skills
from ui.bars import draw_bars, percent
from ui.better import draw_better
from ui.buttons import icon_button, plain_button
from ui.consent import draw_consent
from ui.conversation import Conversation, StepView, TurnView
from ui.icons import icon
from ui.quality import draw_notices, expected, sureness
from ui.route import answered_by, draw_why, name_of, names_of
from ui.sources import draw_sources
from ui.translated_files import draw_translated_files
from ui.versions import draw_earlier, draw_left_out, draw_versions
from ui.words import duration, phrase, say, show, words

GradioMessage = dict[str, Any]  # of a chat
GradioContent = dict[str, Any]  # a part of a message
Tasks = Mapping[str, TaskSpec]

# Pieces of an answer that are drawn: a browser with a megabyte of Markdown to lay out stands still.
FIRST_PIECES, MORE_PIECES, LAST_PIECES = 10, 20, 3
MAX_REQUEST_SHOWN = 20_000  # characters of a request; the whole of it is still answered


def draw_conversation(
    conversation: Conversation, tasks: Tasks, targets: Targets
) -> list[GradioMessage]:
    """The last turns as chat messages; above them, how many more there are.

    Args:
        targets: the languages that a task can be asked for in place of its own.
    """
    shown = conversation.turns[-conversation.drawn :]
    earlier = draw_earlier(conversation.earlier)
    above = [{"role": "assistant", "content": [_html(earlier)]}] if earlier else []
    return above + [
        message
        for turn in shown
        for message in draw_turn(turn, tasks, targets, latest=turn is shown[-1])
    ]


def draw_turn(
    turn: TurnView, tasks: Tasks, targets: Targets, latest: bool = True
) -> list[GradioMessage]:
    """A request and its answer. Only the latest can be answered again or taken back."""
    asked_back = bool(turn.offers) or turn.error_kind == "AsksBack"  # there is no route to show
    routed, running = bool(turn.steps), turn.status == "running"
    parts = [_html(_route(turn, tasks))] if (routed or running) and not asked_back else []
    for index, step in enumerate([] if asked_back else turn.steps):
        parts += _step(index, step, turn, tasks)
    if routed or not running:
        parts.append(_html(_foot(turn, tasks, targets, latest)))
    if better := draw_better(turn):
        parts.append(_html(better))  # by itself: the foot changes while somebody writes here
    if consent := draw_consent(turn):
        parts.append(_html(consent))
    return [
        {"role": "user", "content": [_html(_request(turn))]},
        {"role": "assistant", "content": parts},
    ]


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
    edit = icon_button("edit", turn, "act.edit")
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
    names = names_of(turn.steps, tasks)
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


def _step(index: int, step: StepView, turn: TurnView, tasks: Tasks) -> Iterator[GradioContent]:
    head = "" if len(turn.steps) == 1 else _step_head(index, step, turn, tasks)
    notes = draw_notices(step.notices, after=False)
    if head or notes:
        yield _html(head + notes)
    if step.labels:
        yield _html(draw_bars(step, tasks.get(step.task)))
    elif step.text and not step.sources:
        yield from _written(step, turn)
    if step.sources:
        yield _html(draw_sources(step.sources, step.text, tasks.get(step.task)))
    if step.blocks and step.blocks.texts:
        task = tasks.get(step.task)
        language = task.target_language(step.slots) if task else None
        yield _html(draw_translated_files(turn, index, language))
    if doubts := draw_notices(step.notices, after=True):
        yield _html(doubts)


def _written(step: StepView, turn: TurnView) -> Iterator[GradioContent]:
    """The text of a step; of a very long one the beginning, as much more as was asked for, and the
    end.
    """
    every = turn.pieces(step)
    head = FIRST_PIECES + MORE_PIECES * turn.unfolded
    left = every[head:-LAST_PIECES]
    for piece in every[:head] if left else every:
        yield _piece(piece, step)
    if left:
        yield _html(draw_left_out(turn, every[head : head + MORE_PIECES][: len(left)], left))
        for piece in every[-LAST_PIECES:]:
            yield _piece(piece, step)


def _piece(text: str, step: StepView) -> GradioContent:
    return _text(markdown.with_table_heads(text) if step.blocks else text)


def _step_head(index: int, step: StepView, turn: TurnView, tasks: Tasks) -> str:
    begun = step.status in {"running", "done"} or step.text
    by = f'<span class="pb-soft">{answered_by(step)}</span>' if begun else ""
    by += expected(step, tasks.get(step.task)) if begun else ""
    done = step.status == "done" and step.text
    copy = icon_button("copy", turn, "act.copy.step", data_step=str(index)) if done else ""
    return (
        f'<div class="pb-step" data-status="{step.status}"><i></i>'
        f'<span class="pb-hidden">{say("step.number", n=index + 1)}: </span>'
        f'{name_of(step, tasks)}<span class="pb-number">{percent(step.confidence)}</span>{by}'
        f'<span class="pb-state">{say(f"step.{step.status}")}</span>{copy}</div>'
    )


def _foot(turn: TurnView, tasks: Tasks, targets: Targets, latest: bool) -> str:
    if turn.status == "running":
        return (
            f'<div class="pb-working" role="status"><i></i><i></i><i></i>'
            f'<span class="pb-hidden">{say("answer.working")}</span>{_progress(turn)}</div>'
        )
    if turn.asked_back == "help":
        return _commands(tasks) + _actions(turn, latest)
    again = draw_skills(turn, tasks, targets) if latest and turn.steps else ""
    if turn.offers:
        return draw_plans(turn, tasks, targets, latest) + _actions(turn, latest) + again
    error = ""
    if turn.status == "failed":
        asks = turn.error_kind == "AsksBack"
        error = _asks(turn) if asks else _error(turn, latest)
    more = plain_button("more", turn, "end.more") if latest and turn.goes_on else ""
    why = say(f"end.{turn.stopped}") if turn.stopped in CUT_SHORT else ""
    ended = f'<p class="pb-note">{why} {more}</p>' if why else ""
    thanks = f'<p class="pb-note pb-kept">{say("again.kept")}</p>' if turn.corrects else ""
    return error + ended + thanks + _actions(turn, latest) + again


def _progress(turn: TurnView) -> str:
    """How far the step that runs is with what takes long."""
    at_work = next((step for step in turn.steps if step.progress), None)
    if at_work is None or at_work.progress is None:
        return ""
    kind, done, total = at_work.progress
    said = say(f"progress.{kind}", done=f"{done:,}", total=f"{total:,}")
    if at_work.seconds_left is not None:
        said += " · " + say("progress.left", left=duration(at_work.seconds_left))
    return f'<span class="pb-progress">{said}</span>'


def _error(turn: TurnView, latest: bool) -> str:
    key = f"error.{turn.error_kind}"
    advice = phrase(key if key in words() else "error.other")
    # The Chinese sentence says what happened and what to do; English has the error's own message.
    said = show(Both(en=f"{turn.error} {advice.en}".strip(), zh=advice.zh))
    own = f'<p lang="en">{escape(turn.error)}</p>'
    detail = f'<details class="pb-detail"><summary>{say("error.detail")}</summary>{own}</details>'
    retry = plain_button("retry", turn, "error.again") if latest else ""
    return (
        f'<div class="pb-error" role="alert"><strong>{say("error.title")}</strong>'
        f"<p>{said}</p>{detail if turn.error else ''}"
        f'<p class="pb-choices">{retry}{plain_button("edit", turn, "error.change")}</p></div>'
    )


def _asks(turn: TurnView) -> str:
    """What is asked back, in the language of the request; all around it is in the page's."""
    language = "zh" if languages.HAN.search(turn.error) else "en"
    return (
        f'<div class="pb-error pb-asks" role="alert"><strong>{say("asks.title")}</strong>'
        f'<p class="pb-question" dir="auto" lang="{language}">{escape(turn.error)}</p>'
        f'<p class="pb-note">{say("asks.advice")}</p>'
        f'<p class="pb-choices">{plain_button("edit", turn, "error.change")}</p></div>'
    )


def _commands(tasks: Tasks) -> str:
    listed = "".join(
        f"<li><code>/{escape(name)}</code> {show(task.title)}</li>"
        for task in tasks.values()
        for name in dict.fromkeys((*task.commands, task.name))
    )
    return (
        f'<div class="pb-error pb-asks" role="status"><strong>{say("commands.label")}</strong>'
        f'<ul>{listed}</ul><p class="pb-note">{say("asks.help")}</p></div>'
    )


def _actions(turn: TurnView, latest: bool) -> str:
    buttons = []
    if turn.answer:
        every = len([step for step in turn.steps if step.text]) > 1
        buttons.append(icon_button("copy", turn, "act.copy.all" if every else "act.copy"))
    if latest and not turn.offers and turn.error_kind != "AsksBack":  # it would ask the same again
        buttons.append(icon_button("retry", turn, "act.retry"))
    if latest:
        buttons.append(icon_button("undo", turn, "act.undo"))
    if turn.answer and turn.status == "done":
        for act, rating in (("like", 1), ("dislike", -1)):
            pressed = "true" if turn.rating == rating else "false"
            buttons.append(icon_button(act, turn, f"act.{act}", aria_pressed=pressed))
    rated = f'<span class="pb-soft pb-kept">{say("act.rated")}</span>' if turn.rating else ""
    seconds = f"{turn.seconds:.1f}" if turn.seconds >= 0.1 else f"{turn.seconds:.2f}"
    cost = say("end.cost", tokens=turn.tokens, seconds=seconds)
    shown = f'<span class="pb-cost">{cost}</span>' if turn.status == "done" and turn.tokens else ""
    versions = draw_versions(turn)
    return f'<div class="pb-actions">{versions}{"".join(buttons)}{rated}{shown}</div>'
