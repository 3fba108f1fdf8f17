"""Draw what a request can be answered as instead: another plan, another skill, another language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from html import escape

from agent.inventory import TargetLanguages
from tasks import languages
from tasks.spec import Both, TaskSpec
from ui.bars import percent
from ui.conversation import StepView, TurnView
from ui.icons import icon
from ui.route import names_of, task_title
from ui.words import attributes, option, say, show

Tasks = Mapping[str, TaskSpec]
Targets = Mapping[str, TargetLanguages]  # task -> the languages to choose from


def draw_plans(turn: TurnView, tasks: Tasks, targets: Targets, latest: bool) -> str:
    """The two likeliest plans to pick from, in place of an answer."""
    chips = "".join(
        f'<button type="button" class="pb-chip" data-act="pick" data-turn="{escape(turn.id)}" '
        f'data-tasks="{escape(_joined(steps))}"{"" if latest else " disabled"}>'
        f"{names_of(steps, tasks)}"
        f'<span class="pb-number">{percent(min(step.confidence for step in steps))}</span></button>'
        + (_plan_into(steps, tasks, targets) if latest else "")
        for steps in turn.offers
    )
    title = f"pb-which-{escape(turn.id)}"
    return (
        f'<div class="pb-error pb-asks" role="group" aria-labelledby="{title}">'
        f'<strong id="{title}">{say("which.title")}</strong><div class="pb-chips">{chips}</div>'
        f'<p class="pb-note">{say("which.kept")}</p></div>'
    )


def draw_skills(turn: TurnView, tasks: Tasks, targets: Targets) -> str:
    """The skills to answer with in place of those that did, each always in its place."""
    plans = [[step.task for step in steps] for steps in turn.offers] or [turn.tasks]
    chips = "".join(
        _skill_into(task, turn, tasks, targets)
        or f'<button type="button" class="pb-other" data-act="reroute" data-task="{escape(name)}"'
        f"{' disabled' if [name] in plans else ''}>{show(task.title)}</button>"
        for name, task in tasks.items()
    )
    label = say("which.else" if turn.offers else "again.as")
    return f'<div class="pb-again"><span>{label}</span>{chips}</div>'


def _skill_into(task: TaskSpec, turn: TurnView, tasks: Tasks, targets: Targets) -> str:
    act = f'data-act="reroute" data-task="{escape(task.name)}"'
    return _into(show(task.title), act, task, steps=turn.steps, targets=targets)


def _plan_into(steps: Sequence[StepView], tasks: Tasks, targets: Targets) -> str:
    """The same plan to another language; nothing where several steps have one."""
    writing = [tasks[step.task] for step in steps if step.task in targets]
    if len(writing) != 1:
        return ""
    titles = [show(task_title(step.task, tasks)) for step in steps]
    name = f"{'<span>→</span>'.join(titles)} {say('into.another')}"
    act = f'data-act="pick" data-tasks="{escape(_joined(steps))}"'
    return _into(name, act, writing[0], steps=steps, targets=targets)


def _into(name: str, act: str, task: TaskSpec, steps: Sequence[StepView], targets: Targets) -> str:
    """A chip that opens the choice of a language; nothing where the task has none to choose.

    The first language that the steps are neither from nor to is chosen already.
    """
    offered = targets.get(task.name)
    if offered is None:
        return ""
    own = [step.slots for step in steps if step.task == task.name]
    taken = {task.target_language(slots) for slots in own}
    taken |= {task.source_language(slots) for slots in own}
    codes = (*offered.trained, *offered.others)
    first = next((code for code in codes if code not in taken), None)
    groups = "".join(
        f"<optgroup {attributes(label=key)}>"
        f"{''.join(option(code, _language(code), code == first) for code in group)}</optgroup>"
        for key, group in (("into.trained", offered.trained), ("into.others", offered.others))
        if group
    )
    return (
        f'<details class="pb-into"><summary class="pb-other">{name}{icon("chevron")}</summary>'
        f'<div><label>{say("into.label")}<select data-slot="{escape(str(task.target_slot))}">'
        f'{groups}</select></label><button type="button" class="pb-chip" {act}>'
        f"{say('into.answer')}</button></div></details>"
    )


@cache
def _language(code: str) -> Both:
    return Both(en=languages.name(code), zh=languages.name(code, "zh"))


def _joined(steps: Sequence[StepView]) -> str:
    return " ".join(step.task for step in steps)
