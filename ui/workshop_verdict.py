"""Draw what a judging found: the gate's answer, what people found, the rows that changed."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from core.sequential import MOST_ROWS
from core.statement import Statement
from tasks.spec import TaskSpec
from ui.statements import in_both
from ui.words import attributes, say, show, words
from ui.workshop_baseline import draw_baseline
from ui.workshop_trials import ANSWERS, draw_try
from ui.workshop_view import View
from workshop.adapters import standing
from workshop.blind_comparisons import BlindComparisons
from workshop.human_preference import LEAST, HumanPreference
from workshop.jobs import JobFolder
from workshop.verdict import changed_rows, read_verdict

CHANGED_SHOWN = 40


def draw_verdict(found: JobFolder, task: TaskSpec | None, view: View) -> str:
    """A judging: how far it is, or its verdict.

    Args:
        task: that it judged, if it is there; answers that it writes can be compared blind.
    """
    verdict = read_verdict(found.folder)
    if verdict is None:
        bar = f'<progress max="{len(found.job.commands)}" value="{found.state.done}"></progress>'
        return f'<div class="pb-progress">{bar}</div>'
    more = max((verdict.get("more_rows") or {"": 0}).values())
    wanted = f" · {_more(more)}" if more else ""
    looked = verdict.get("checks", ())
    checks = "".join(map(_check, looked))
    gains = any(check["name"] == "better" and check["passed"] for check in looked)
    if gains and verdict.get("answer") == "not better":
        wanted = f" · {say('judge.gains')}"
    answer = say(ANSWERS.get(str(verdict.get("answer")), "judge.unknown"))
    comparisons = BlindComparisons(found) if task and task.kind == "write" else None
    people = comparisons.preference if comparisons else None
    shown = _people(comparisons, people) if comparisons else ""
    return f"""<p class="pb-verdict"><b>{answer}</b>{wanted}</p>{shown}
{draw_baseline(found)}<h4>{say("judge.checks")}</h4><ul>{checks}</ul>
{_changed(found, comparisons, view)}
{_acts(found, verdict, people)}"""


def _people(comparisons: BlindComparisons, people: HumanPreference | None) -> str:
    """What people found who compared the answers blind, and the way there."""
    left, compared, said = comparisons.left, len(comparisons.winners), ""
    if people:
        said = f"<p>{_preference(people, comparisons)}</p>"
    elif compared:
        said = f'<p class="pb-soft">{say("compare.later", compared=compared, least=LEAST)}</p>'
    if not left:
        return said
    return (
        f'{said}<p class="pb-acts"><button type="button" class="pb-chip" data-do="compare" '
        f'data-job="{escape(comparisons.found.folder.name)}">{say("compare.open", left=left)}'
        f'</button> <span class="pb-soft">{say("compare.text")}</span></p>'
    )


def _preference(people: HumanPreference, comparisons: BlindComparisons) -> str:
    share, low, high = (f"{one:.0%}" for one in (people.share, people.low, people.high))
    chosen = {"new": people.new, "choices": people.new + people.old}
    said = [
        say("compare.share", share=share, low=low, high=high, **chosen),
        say("compare.by", people=", ".join(comparisons.people), ties=people.ties),
    ]
    if people.more_rows:
        known = "compare.more" if people.more_known else "compare.unforeseen"
        said.append(say(known, rows=people.more_rows))
    if people.more_rows > comparisons.left:
        said.append(say("compare.rows"))
    answer = say(ANSWERS.get(people.answer, "judge.unknown"))
    return f"{say('compare.people')} <b>{answer}</b> · {' · '.join(said)}"


def _changed(found: JobFolder, comparisons: BlindComparisons | None, view: View) -> str:
    """Both answers by name. While some can be compared blind, they are shown when asked for."""
    rows = changed_rows(found.folder)
    if not rows:
        return ""
    name = escape(found.folder.name)
    if comparisons and comparisons.left and view.named != found.folder.name:
        return (
            f'<p class="pb-acts"><button type="button" class="pb-chip" data-do="look" '
            f'data-set-named="{name}">{say("compare.names", count=len(rows))}</button> '
            f'<span class="pb-soft">{say("compare.spoiled")}</span></p>'
        )
    heads = "".join(
        f"<th>{say(f'judge.{key}')}</th>" for key in ("text", "right", "before", "after")
    )
    lines = "".join(
        f'<tr class="{"pb-worse" if row.change < 0 else ""}">'
        + "".join(
            f'<td dir="auto">{escape(value)}</td>'
            for value in (row.text, row.right, row.before, row.after)
        )
        + "</tr>"
        for row in rows[:CHANGED_SHOWN]
    )
    return (
        f"<h4>{say('judge.changed')} ({len(rows)})</h4>"
        f'<div class="pb-scroll" tabindex="0"><table><thead><tr>{heads}</tr></thead>'
        f"<tbody>{lines}</tbody></table></div>"
    )


def _check(check: Mapping[str, Any]) -> str:
    """What a check of the gate found. A verdict without statements is older, and in English."""
    said = [Statement(**one) for one in check.get("said", ())]
    found = show(in_both(said)) if said else escape(check["reason"])
    look = "pb-good" if check["passed"] else "pb-warn"
    return f'<li class="{look}"><b>{_check_title(check["name"])}</b>: {found}</li>'


def _check_title(name: str) -> str:
    """What a check of the gate looked at."""
    if name.startswith("elsewhere"):  # N, TASK on FILE
        return say("gate.elsewhere", rows=Path(name.rpartition(" on ")[2]).stem)
    key = f"gate.{name.replace(' ', '_')}"
    return say(key) if key in words() else escape(name)


def _more(rows: int) -> str:
    """How many more rows would tell."""
    if rows >= MOST_ROWS:
        return say("judge.unforeseen")
    return say("judge.more", rows=f"{rows:,}")


def _acts(found: JobFolder, verdict: Mapping[str, Any], people: HumanPreference | None) -> str:
    """To use, or on trial. What people like less wants a reason for either."""
    event = standing(found.job.task)
    if event and (event.adapter, event.action) == (found.job.adapter, "promote"):
        return f'<p class="pb-soft">{say("judge.in_use", task=event.task)}</p>'
    disliked = bool(people and people.prefers_old)
    answer = verdict.get("answer")
    # A trial tells more: it wants a reason where it is settled that it is not better.
    use, trial = (
        _reason("compare.why" if disliked else "judge.why" if refused else "")
        for refused in (answer != "better", answer == "not better")
    )
    warning = f'<p class="pb-warn" role="note">{say("compare.old")}</p>' if disliked else ""
    return (
        f'{warning}<form data-do="promote" data-job="{escape(found.folder.name)}" '
        f'autocomplete="off"><p class="pb-acts">{use}'
        f'<button type="submit" class="pb-chip pb-first">{say("judge.promote")}</button></p></form>'
        f"{draw_try(found, trial)}"
    )


def _reason(key: str) -> str:
    """A box that has to be filled in; nothing without the key of its words."""
    if not key:
        return ""
    box = attributes(aria_label=key, placeholder=key)
    return f'<input name="why" maxlength="500" required {box}>'
