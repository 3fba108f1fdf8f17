"""Draw what can answer: planner, base, adapters. Everything put into HTML is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from agent.events import Measured
from agent.inventory import AdapterFacts, BaseFacts, PlannerFacts
from agent.judged_figures import figure_words
from agent.turn_record import TurnRecord
from core.errors import UnknownName
from tasks import languages
from tasks.spec import Both, TaskSpec
from ui.bars import label_title, percent
from ui.conversation import StepView
from ui.quality import draw_notices
from ui.words import say, show


def draw_facts(planner: PlannerFacts, base: BaseFacts, adapters: Sequence[AdapterFacts]) -> str:
    """The planner, the base, and a card for each adapter."""
    asks = say("adapters.asks", percent=round(100 * planner.threshold))
    right = "".join(
        f"<p>{say(f'adapters.{key}', share=f'{share:.1%}')}</p>"
        for key, share in (("written", planner.written), ("held", planner.held_out))
        if share is not None
    )
    about = say(
        "adapters.base.text",
        name=base.name,
        quantization=base.quantization,
        tokens=f"{base.context_tokens:,}",
    )
    spoken = _languages(base.languages) if base.languages else say("adapters.any")
    cards = "".join(map(_card, adapters)) or f"<p>{say('adapters.none')}</p>"
    return (
        f'<section class="pb-facts"><h3>{say("adapters.planner")}</h3>'
        f'<p>{say("adapters.planner.text")}</p>{right}<p class="pb-soft">{asks}</p></section>'
        f'<section class="pb-facts"><h3>{say("adapters.base")}</h3><p>{about}</p>'
        f'<p class="pb-soft">{say("adapters.languages")}: {spoken}</p></section>{cards}'
    )


def draw_answer(name: Both, record: TurnRecord, task: TaskSpec) -> str:
    """One of the two answers: who gave it, what it is, what it cost."""
    step = StepView.of(record.steps[0]) if record.steps else StepView(task=task.name)
    body = f'<blockquote dir="auto">{escape(step.text)}</blockquote>' if step.text else ""
    if step.labels:
        rows = (
            f"<li>{show(label_title(label, task))} <b>{percent(chance)}</b></li>"
            for label, chance in step.labels.items()
        )
        body = f"<ul>{''.join(rows)}</ul>"
    if record.failed:
        body += f'<p class="pb-table-error" role="alert">{escape(record.failed.message)}</p>'
    cost = ""
    if finished := record.finished:
        cost = say("try.cost", tokens=finished.tokens, seconds=f"{finished.seconds:.1f}")
        cut = say("try.cut") if finished.stopped == "length" else ""
        cost = f'<p class="pb-soft">{cost}{" · " if cut else ""}{cut}</p>'
    before, after = (draw_notices(step.notices, after=later) for later in (False, True))
    return f"<h4>{show(name)}</h4>{before}{body}{after}{cost}"


def _card(facts: AdapterFacts) -> str:
    task = facts.task
    serves = show(task.title) if task else say("adapters.nothing")
    used = "promoted" if facts.promoted else "unused"
    if task and facts.name in task.adapters and not facts.promoted:
        used = "default"
    rows = [
        ("adapters.serves", f"{serves}, {say(f'adapters.{used}')}"),
        ("adapters.languages", _languages(facts.languages) or say("adapters.any")),
        ("adapters.trained", escape(facts.trained) or say("adapters.unrecorded")),
        ("adapters.size", f"{facts.size / 1e6:.1f} MB · <code>{escape(facts.fingerprint)}</code>"),
    ]
    listed = "".join(f"<div><dt>{say(key)}</dt><dd>{value}</dd></div>" for key, value in rows)
    what = f"<p>{show(task.description)}</p>" if task else ""
    return (
        f'<section class="pb-facts" id="adapter-{escape(facts.name)}">'
        f"<h3>{escape(facts.name)}</h3>{what}<dl>{listed}</dl>"
        f"{_figures(facts.measured)}{_data(facts)}</section>"
    )


def _figures(measured: Iterable[tuple[Measured, Mapping[str, str]]]) -> str:
    rows = "".join(_figure(one, slots) for one, slots in measured)
    if not rows:
        return f'<p class="pb-note pb-warn">{say("adapters.unjudged")}</p>'
    heads = "".join(
        f"<th>{say(key)}</th>" for key in ("adapters.judged", "adapters.figure", "adapters.bare")
    )
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"


def _figure(one: Measured, slots: Mapping[str, str]) -> str:
    spoken = f" ({_language(one.language)})" if one.language else ""
    judged = f"{_pair(slots)}{show(one.texts)}{spoken}, {say('adapters.rows', n=f'{one.rows:,}')}"
    figure = f"{show(figure_words(one.figure, one.value))} {_interval(one)}"
    return f"<tr><td>{judged}</td><td>{figure}</td><td>{_bare(one)}</td></tr>"


def _interval(one: Measured) -> str:
    low, high = (figure_words(one.figure, value).en.split()[-1] for value in (one.low, one.high))
    return f'<span class="pb-soft">({low} – {high})</span>'


def _bare(one: Measured) -> str:
    return (
        say("adapters.basenone") if one.base is None else show(figure_words(one.figure, one.base))
    )


def _data(facts: AdapterFacts) -> str:
    if not facts.data:
        return ""
    items = "".join(
        f"<li><b>{escape(one.name)}</b>, {say('adapters.rows', n=f'{one.rows:,}')}, "
        f"{escape(one.licence)}</li>"
        for one in facts.data
    )
    return f"<details><summary>{say('adapters.data')}</summary><ul>{items}</ul></details>"


def _pair(slots: Mapping[str, str]) -> str:
    codes = [slots[name] for name in ("source", "target") if name in slots]
    return f"{' → '.join(map(_language, codes))}: " if codes else ""


def _languages(codes: Iterable[str]) -> str:
    return ", ".join(map(_language, codes))


def _language(code: str) -> str:
    try:
        return show(Both(en=languages.name(code), zh=languages.name(code, "zh")))
    except (LookupError, ValueError, UnknownName):
        return escape(code)
