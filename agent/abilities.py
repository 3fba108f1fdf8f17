"""What can be done here, said from the task files and the judged figures; no model is asked."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from agent.events import Event, Finished, Measured, Planned, StepStarted, TextDelta
from agent.inventory import AdapterFacts, adapter_facts
from agent.judged_figures import figure_words
from agent.plan import Plan
from agent.step_run import step_finished
from tasks import languages
from tasks.spec import Both, Lang, TaskSpec

if TYPE_CHECKING:
    from agent.agent import Agent

Judged = tuple[Measured, dict[str, str]]  # a figure, with the slots that it holds for
HEAD = Both(
    en="This is read from the task files and from how the adapters were judged; no model wrote it.",
    zh="以下内容取自任务文件和适配器的评测结果，不是模型写的。",
)
GOOD = Both(en="Judged good", zh="评测良好")
WEAK = Both(en="Judged weak, check the answers", zh="评测较差，请核对回答")
JUDGED = Both(en="Judged", zh="评测结果")  # no floor says what would be good
UNJUDGED = Both(
    en="Has an adapter, whose quality was not measured.", zh="有适配器，但质量未经评测。"
)
BARE = Both(
    en="No adapter is trained for it: the base answers by itself, not measured. Expect mistakes.",
    zh="没有为它训练的适配器：由基座直接回答，未经评测，可能出错。",
)
FOOT = Both(
    en="What fits none of these is answered by chat. `/help` lists the commands.",
    zh="不属于以上任何一项的请求由对话回答。`/help` 列出所有命令。",
)


def answer(
    agent: Agent, plan: Plan, asked: str, allowed: Collection[str] | None
) -> Iterator[Event]:
    """The events of a turn that is answered so.

    Args:
        asked: the question, in whose language it is answered.
        allowed: adapters that may answer the visitor; None is all.
    """
    lang: Lang = "zh" if languages.HAN.search(asked) else "en"
    text = describe(agent.tasks.values(), adapter_facts(agent, allowed), lang)
    yield Planned(plan)
    yield StepStarted(0, plan.steps[0], adapter=None)
    yield TextDelta(0, text)
    yield step_finished(text, index=0)
    yield Finished(text, labels={}, tokens=0, seconds=0.0, stopped="end")


def describe(tasks: Iterable[TaskSpec], facts: Sequence[AdapterFacts], lang: Lang) -> str:
    """Markdown: each task's title and what it does, then what it was judged good at and what not.

    Good is a figure that reaches the task's floor.
    """
    items = [f"- {_task(task, facts, lang)}" for task in tasks]
    return "\n\n".join([getattr(HEAD, lang), "\n".join(items), getattr(FOOT, lang)])


def _task(task: TaskSpec, facts: Sequence[AdapterFacts], lang: Lang) -> str:
    own = [one for one in facts if one.task is not None and one.task.name == task.name]
    figures = _used(task, own)
    said = [f"**{getattr(task.title, lang)}** · {getattr(task.description, lang)}"]
    for title in (GOOD, WEAK, JUDGED):
        if judged := [one for one in figures if _verdict(task, one[0]) == title]:
            listed = ("；" if lang == "zh" else "; ").join(_figure(*one, lang) for one in judged)
            said.append(f"{title.zh}：{listed}。" if lang == "zh" else f"{title.en}: {listed}.")
    if not figures:
        said.append(getattr(UNJUDGED if own else BARE, lang))
    return ("" if lang == "zh" else " ").join(said)


def _used(task: TaskSpec, facts: Sequence[AdapterFacts]) -> list[Judged]:
    """A figure for each kind of text: that of the adapter which is taken first."""
    order = {name: place for place, name in enumerate(task.adapters)}
    ranked = sorted(facts, key=lambda one: (not one.promoted, order.get(one.name, len(order))))
    found: dict[str, Judged] = {}
    for one in ranked:
        for figure, slots in one.measured:
            found.setdefault(
                f"{sorted(slots.items())} {figure.texts} {figure.language}", (figure, slots)
            )
    return list(found.values())


def _verdict(task: TaskSpec, one: Measured) -> Both:
    floor = task.floors.get(one.figure)
    if floor is None:
        return JUDGED
    return GOOD if one.value >= floor else WEAK


def _figure(one: Measured, slots: dict[str, str], lang: Lang) -> str:
    pair = [slots[name] for name in ("source", "target") if name in slots]
    codes = pair or [one.language or ""]
    spoken = " → ".join(languages.name(code, lang) for code in codes if code)
    figure = getattr(figure_words(one.figure, one.value), lang)
    if lang == "zh":
        return f"{spoken}（{one.texts.zh}）{figure}"
    return f"{spoken} ({one.texts.en}) {figure}".strip()
