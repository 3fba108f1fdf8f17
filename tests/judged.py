"""A finished judging of an adapter that writes, as the workshop's job leaves it: real runs and the
real gate, over an engine that has no model.
"""

from __future__ import annotations

import json
from pathlib import Path

from adapter_store.files import ADAPTER_CONFIG, ADAPTER_WEIGHTS, fingerprint_of
from core.paths import user_dir
from engine.fake import FakeEngine
from engine.interface import CompletionRequest, WriteRequest
from evaluation import gate, runner
from evaluation.rows import EvaluationData
from evaluation.run_plan import RunPlan
from tasks.spec import load_tasks
from workshop.jobs import Job, JobFolder, Jobs, State, now
from workshop.judging import HELD_OUT, RUNS, VERDICT
from workshop.selection import HELD_OUT as ROWS

ADAPTER, TASK = "mine", "translation"
SAME = "stays"  # a text with it is answered alike by both


class Writer(FakeEngine):
    """The text in capitals by the adapter, backwards by the base."""

    def _answer(self, request: WriteRequest | CompletionRequest) -> str:
        text = request.messages[-1]["content"]
        if SAME in text:
            return "So it is."
        return text.upper() if request.adapter else text[::-1]


def judged(texts: list[str], task: str = TASK) -> JobFolder:
    """A job in the person's own folder."""
    folder = user_dir() / "adapters" / ADAPTER
    folder.mkdir(parents=True, exist_ok=True)
    for file in (ADAPTER_CONFIG, ADAPTER_WEIGHTS):
        (folder / file).write_text(file)
    jobs = Jobs()
    name = jobs.new_id()
    place = jobs.path(name)
    _run(place, texts, task, Writer({ADAPTER: fingerprint_of(folder)}))
    new, old = (place / f"{HELD_OUT}-{side}" for side in RUNS)
    verdict = gate.judge(new, old)
    (place / VERDICT).write_text(json.dumps(verdict.record(new, old)))
    rows = tuple(f"r{n}" for n in range(len(texts)))
    found = jobs.add(
        Job(
            id=name, kind="judge", task=task, adapter=ADAPTER, in_place="", rows=rows, by="me",
            at=now(), commands=(),
        )
    )  # fmt: skip
    found.write(State(status="finished"))
    return found


def _run(place: Path, texts: list[str], task: str, engine: FakeEngine) -> None:
    spec = load_tasks()[task]
    answer = {"choose": "positive", "write": "So."}[spec.kind]
    roles = {"text": lambda text: text, "answer": lambda text: answer,
             "source": lambda text: "en", "target": lambda text: "de"}  # fmt: skip
    records = [{c: roles[role](text) for c, role in spec.columns.items()} for text in texts]
    lines = [json.dumps({"id": f"r{n}", **one}) + "\n" for n, one in enumerate(records)]
    (place / ROWS).write_text("".join(lines))
    data = EvaluationData(place / ROWS, {})
    for side, adapter in zip(RUNS, (ADAPTER, None), strict=True):
        plan = RunPlan(spec, data, data.rows(spec), adapter)
        runner.run(plan, engine, place / f"{HELD_OUT}-{side}")
