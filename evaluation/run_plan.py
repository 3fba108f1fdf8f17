"""One run before it is run: the rows, and the steps that the chat would take for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice

from agent.options import TurnOptions
from agent.plan import Step
from agent.step_run import StepRun, TurnContext
from engine.interface import Engine
from evaluation import figures
from evaluation.contamination import TrainingTexts
from evaluation.record import RunSettings, Served
from evaluation.rows import EvaluationData, EvaluationRow
from tasks.spec import SlotValue, TaskSpec


@dataclass(frozen=True)
class JudgedStep(StepRun):
    """A step as the chat runs it, with the adapter that is judged in place of the chat's pick."""

    judged: str | None = None

    @cached_property
    def adapter(self) -> str | None:
        """The adapter that is judged."""
        return self.judged


@dataclass(frozen=True)
class RunPlan:
    """What one run asks, and of which adapters.

    Attributes:
        data: the file that the rows come from.
        adapter: an adapter's id; None is the bare base.
        training: training files to look for the rows in, if any were given.
        served: what the chat serves each row with, where that is judged; see `as_served`.
    """

    task: TaskSpec
    data: EvaluationData
    rows: Sequence[EvaluationRow]
    adapter: str | None = None
    training: TrainingTexts | None = None
    served: tuple[str | None, ...] | None = None

    @property
    def adapters(self) -> tuple[str | None, ...]:
        """What answers each row."""
        return (self.adapter,) * len(self.rows) if self.served is None else self.served

    def as_served(self, engine: Engine) -> RunPlan:
        """The same run of what the chat would serve each row with.

        That is the latest promoted adapter, or else the task's own, that was trained for such a
        row, and else the bare base.

        Raises:
            InputError: the promotions file is damaged.
        """
        served = tuple(self._work(engine, row).adapter for row in self.rows)
        return replace(self, served=served)

    def settings(self, engine: Engine) -> RunSettings:
        """What decides the outcome.

        Raises:
            UnknownName, AdapterError: the adapter is not there or does not fit the base.
        """
        counts = Counter(self.adapters)
        parts = {
            name or "base": Served(
                rows=rows,
                fingerprint=None if name is None else engine.adapters.fingerprint(name),
            )
            for name, rows in counts.most_common()
        }
        adapter = next(iter(counts)) if len(counts) == 1 else None
        fingerprints = engine.fingerprints()
        if adapter is not None:
            fingerprints["adapter"] = str(parts[adapter].fingerprint)
            fingerprints |= engine.adapters.calibration(adapter).fingerprints
        data, task = self.data, self.task
        return RunSettings(
            task=task.fingerprint,
            task_name=task.name,
            task_version=task.version,
            metrics=figures.metric_names(task),
            adapter=adapter,
            served={} if self.served is None else parts,
            fingerprints=fingerprints,
            decoding=task.decoding.model_copy(update={"seed": data.seed}).model_dump(),
            seed=data.seed,
            data=f"{data.file.absolute().parent.name}/{data.file.name}",
            sha256=data.sha256(),
            columns=data.columns,
            fills=data.fills,
            answers=data.answers,
            form={name: value for name, value in vars(data.form).items() if value},
            labels=data.labels,
            limit=data.limit,
            reverse=data.reverse,
            rows=len(self.rows),
        )

    def steps(self, engine: Engine, done: int = 0) -> Iterator[tuple[JudgedStep, EvaluationRow]]:
        """Each row but the first `done`, behind the step that is run for it."""
        for row, adapter in islice(zip(self.rows, self.adapters, strict=True), done, None):
            yield JudgedStep(**vars(self._work(engine, row)), judged=adapter), row

    def _work(self, engine: Engine, row: EvaluationRow) -> StepRun:
        """The step that the chat would run."""
        slots: dict[str, SlotValue] = dict(row.slots)
        if row.labels and self.task.labels_slot:
            slots[self.task.labels_slot] = list(row.labels)
        return StepRun(
            engine=engine,
            task=self.task,
            index=0,
            step=Step(self.task.name, 1.0, slots, text=row.text),
            content=row.text,
            turn=TurnContext(explain=False, options=TurnOptions(seed=self.data.seed)),
        )
