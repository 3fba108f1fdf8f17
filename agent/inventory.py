"""What can answer here: the planner, the base, and each adapter with what is known of it."""

from __future__ import annotations

import json
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from adapter_store.discovery import adapter_folders
from adapter_store.judged import judged_records
from adapter_store.promotions import Promotions
from adapter_store.run_record import read_run_record
from agent.adapter_choice import choose_adapter
from agent.events import Measured
from agent.judged_figures import as_measured
from agent.named_task import task_of
from agent.planning import artefact
from core import paths
from core.base_languages import languages_of_base
from core.errors import PatchbayError
from tasks import languages
from tasks.spec import TaskSpec, conversation_task

if TYPE_CHECKING:
    from agent.agent import Agent


@dataclass(frozen=True)
class TrainingData:
    """A data set that an adapter was trained on."""

    name: str
    licence: str
    rows: int


@dataclass(frozen=True)
class AdapterFacts:
    """What is known of an adapter from its folder and its judged figures.

    Attributes:
        task: what it serves; None where no task here is.
        languages: ISO 639-1 codes, of the texts or of what it translates between.
        measured: its figures, each with the slots that it holds for.
        trained: date, UTC; empty where no record says.
        size: bytes on disk; 0 where a server alone has it.
        promoted: whether the chat takes it on evidence.
        own_prompts: its training rows with a system prompt of their own, by its record.
    """

    name: str
    task: TaskSpec | None
    fingerprint: str
    languages: tuple[str, ...] = ()
    measured: tuple[tuple[Measured, dict[str, str]], ...] = ()
    data: tuple[TrainingData, ...] = ()
    trained: str = ""
    size: int = 0
    promoted: bool = False
    own_prompts: int = 0


@dataclass(frozen=True)
class PlannerFacts:
    """What the planner's record says of it.

    Attributes:
        threshold: probability of a plan below which it asks back.
        written: share of right plans, of requests that people wrote; None where not judged.
        held_out: the same, of composed requests that were kept out of its training.
    """

    threshold: float
    written: float | None
    held_out: float | None


@dataclass(frozen=True)
class BaseFacts:
    """What is known of the base. `languages` is empty where nothing limits it."""

    name: str
    quantization: str
    languages: tuple[str, ...]
    context_tokens: int


def planner_facts() -> PlannerFacts:
    """Of the planner that is in use, the person's own or the shipped one."""
    record = json.loads((artefact.in_use() / artefact.RECORD).read_text(encoding="utf-8"))
    return PlannerFacts(
        record["threshold"], record.get("written_plans"), record.get("held_out_plans")
    )


def base_facts(agent: Agent) -> BaseFacts:
    """Of the base that is loaded."""
    prints = agent.engine.fingerprints()
    base = prints.get("base", "")
    return BaseFacts(
        base,
        prints.get("quantization", ""),
        tuple(languages_of_base(base)),
        agent.engine.context_tokens,
    )


def adapters_by_task(agent: Agent) -> dict[str, list[str]]:
    """Task -> the adapters that serve it."""
    found: dict[str, list[str]] = {}
    for name in agent.engine.adapters.names():
        if task := task_of(name, agent.tasks, agent.engine.adapters):
            found.setdefault(task.name, []).append(name)
    return found


@dataclass(frozen=True)
class TargetLanguages:
    """What a task can be asked to answer in, as ISO 639-1 codes.

    Attributes:
        trained: an adapter of the task was trained for them.
        others: the base knows them.
    """

    trained: tuple[str, ...]
    others: tuple[str, ...]


def target_languages(agent: Agent) -> dict[str, TargetLanguages]:
    """Of every task whose answer's language can be chosen."""
    serving, found = adapters_by_task(agent), {}
    known = base_facts(agent).languages or languages.NAMED_ABROAD
    for task in agent.tasks.values():
        if slot := task.target_slot:
            trained: dict[str, None] = {}
            for name in serving.get(task.name, ()):
                with suppress(PatchbayError):  # removed just now
                    scope = agent.engine.adapters.scope(name)
                    trained |= dict.fromkeys(scope.slots.get(slot, ()))
            others = tuple(code for code in known if code not in trained)
            found[task.name] = TargetLanguages(tuple(trained), others)
    return found


def adapter_facts(agent: Agent, allowed: Collection[str] | None = None) -> list[AdapterFacts]:
    """Of every adapter that the engine can attach, and the visitor may ask.

    Args:
        allowed: their names; None is all.
    """
    folders = adapter_folders(paths.adapter_dirs(agent.engine.fingerprints().get("base")))
    promoted = Promotions().adapters()
    names = [n for n in agent.engine.adapters.names() if allowed is None or n in allowed]
    return [_facts(agent, name, folders.get(name), name in promoted) for name in names]


def ignores_instructions(agent: Agent) -> str:
    """The adapter that answers chat and was, by its record, not trained with system prompts other
    than the task's own; empty where it was, or where the bare base answers.
    """
    task = conversation_task(agent.tasks)
    try:
        name = choose_adapter(task, agent.engine.adapters, slots={}, labels=(), text="")
        found = adapter_facts(agent, {name} if name else ())
    except PatchbayError:  # a damaged promotions file: an answer says so
        return ""
    return "" if not found or found[0].own_prompts else found[0].name


def _facts(agent: Agent, name: str, folder: Path | None, promoted: bool) -> AdapterFacts:
    adapters = agent.engine.adapters
    task, prints = task_of(name, agent.tasks, adapters), adapters.fingerprint(name)
    scope = adapters.scope(name)
    spoken = [code for values in scope.slots.values() for code in values] or scope.languages
    records = []
    if task:
        wanted = {"adapter": prints, "task": task.fingerprint}
        records = judged_records(agent.engine.fingerprints() | wanted)
    record, size = None, 0
    # It may change under our hands: the engine says why, if asked.
    with suppress(PatchbayError, OSError):
        if folder:
            record = read_run_record(folder)
            size = sum(file.stat().st_size for file in folder.iterdir())
    return AdapterFacts(
        name,
        task,
        prints,
        tuple(dict.fromkeys(spoken)),
        measured=tuple(
            (as_measured(one, data), data.slots) for one in records if (data := one.data_set)
        ),
        data=tuple(
            TrainingData(one.name, one.licence, one.train_rows)
            for one in (record.data if record else ())
        ),
        trained=record.finished[:10] if record else "",
        size=size,
        promoted=promoted,
        own_prompts=sum(one.own_prompts for one in record.data) if record else 0,
    )
