"""The judged figures that speak of a step."""

from __future__ import annotations

import math

from adapter_store.judged import DataSet, JudgedRecord, judged_records
from agent.events import Measured
from agent.step_run import StepRun
from tasks import languages
from tasks.spec import Both


def measured(run: StepRun) -> tuple[Measured, ...]:
    """How such steps were judged, the most alike first: by the length of the text, then the least
    good figure. Empty where nobody judged any.
    """
    if run.adapter is None:
        return ()
    found = []
    for record in judged_records(run.fingerprints()):
        data = record.data_set
        if data is not None and _speaks_of(data, run):
            times = abs(math.log2((1 + len(run.content)) / data.characters))
            one = as_measured(record, data)
            found.append((round(times), one.value, one))
    return tuple(one for _, _, one in sorted(found, key=lambda item: item[:2]))


def as_measured(record: JudgedRecord, data: DataSet) -> Measured:
    """A record's figure as an answer has it."""
    name, figure = record.figure
    return Measured(
        figure=name,
        value=figure.adapter.value,
        low=figure.adapter.low,
        high=figure.adapter.high,
        rows=record.rows,
        texts=data.texts,
        base=figure.base.value if figure.base else None,
        language=data.language,
    )


def figure_words(name: str, value: float) -> Both:
    """A figure in words: `BLEU 34`, `right in 79%`, `ROUGE-1 0.36`."""
    if name == "accuracy":
        return Both(en=f"right in {value:.0%}", zh=f"正确率 {value:.0%}")
    known = {"bleu": "BLEU {:.0f}", "chrf": "chrF++ {:.0f}"}
    rouge = name.upper().replace("_", "-") if name.startswith("rouge") else name.replace("_", " ")
    shown = known.get(name, rouge + " {:.2f}").format(value)
    return Both(en=shown, zh=shown)


def _speaks_of(data: DataSet, run: StepRun) -> bool:
    slots = run.task.filled(run.step.slots)
    if any(slots.get(name) != value for name, value in data.slots.items()):
        return False
    return data.language in {None, languages.detect(run.content, data.language or "en")}
