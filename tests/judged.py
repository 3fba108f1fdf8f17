"""A finished judging of an adapter, as the workshop's job leaves it: real runs and the real gate,
over an engine that has no model.
"""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from adapter_store.files import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    RECIPE_FILE,
    RUN_RECORD,
    fingerprint_of,
)
from core.fingerprint import sha256_file
from core.paths import user_dir
from engine.fake import FakeEngine
from engine.interface import CompletionRequest, WriteRequest
from evaluation import baseline, gate, runner
from evaluation.rows import EvaluationData
from evaluation.run_plan import RunPlan
from tasks.spec import load_tasks
from workshop.jobs import Job, JobFolder, Jobs, State, now
from workshop.judging import HELD_OUT, RUNS, VERDICT
from workshop.selection import HELD_OUT as ROWS
from workshop.selection import TRAINING

ADAPTER, TASK = "mine", "translation"
SAME = "stays"  # a text with it is answered alike by both
# Of an adapter that chooses. The engine reads the label in a text and knows no other word; the
# baseline the reverse.
WORDS = {"positive": ["warm", "funny"], "negative": ["dull", "slow"]}
LEARNT = [
    {"text": f"a {words[n % 2]} zebra{n}", "label": label}
    for n in range(10)
    for label, words in WORDS.items()
]
NAMED = [{"text": f"{label} {n}", "label": label} for n in range(20) for label in WORDS]
UNNAMED = [{"text": f"so {w}", "label": label} for label in WORDS for w in WORDS[label] * 10]


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


def judged_beside_baseline(learnt: list[dict[str, str]], rows: list[dict[str, str]]) -> JobFolder:
    """A judging of an adapter that chooses, and the training job that has the rows it learnt.

    Args:
        learnt: text and label of each row that it was trained on.
        rows: the same of those to judge on.
    """
    adapter, jobs = user_dir() / "adapters" / ADAPTER, Jobs()
    adapter.mkdir(parents=True)
    trained = jobs.path(jobs.new_id())
    file = _write_rows(trained / TRAINING, learnt)
    source = {"name": "own", "train_rows": len(learnt), "sha256": {TRAINING: sha256_file(file)}}
    (adapter / RUN_RECORD).write_text(json.dumps({"name": ADAPTER, "data": [source]}))
    settled = {"data": [{"path": TRAINING, "validation": "none"}]}
    (adapter / RECIPE_FILE).write_text(yaml.safe_dump(settled))
    values = {"task": "sentiment", "adapter": ADAPTER, "in_place": "", "by": "me", "at": now(),
              "commands": ()}  # fmt: skip
    jobs.add(Job(id=trained.name, kind="train", rows=(), **values))
    place = jobs.path(jobs.new_id())
    _judge(place, EvaluationData(_write_rows(place / ROWS, rows), {}), "sentiment",
           FakeEngine({ADAPTER: "a"}))  # fmt: skip
    new, old = (place / f"{HELD_OUT}-{side}" for side in RUNS)
    baseline.add(new, trained)
    (place / VERDICT).write_text(json.dumps(gate.judge(new, old).record(new, old)))
    found = jobs.add(Job(id=place.name, kind="judge", rows=tuple("r" * len(rows)), **values))
    found.write(State(status="finished"))
    return found


def _write_rows(file: Path, rows: list[dict[str, str]]) -> Path:
    lines = [json.dumps({"id": f"{file.stem}{n}", **one}) + "\n" for n, one in enumerate(rows)]
    file.write_text("".join(lines))
    return file


def _run(place: Path, texts: list[str], task: str, engine: FakeEngine) -> None:
    spec = load_tasks()[task]
    answer = {"choose": "positive", "write": "So."}[spec.kind]
    roles = {"text": lambda text: text, "answer": lambda text: answer,
             "source": lambda text: "en", "target": lambda text: "de"}  # fmt: skip
    records = [{c: roles[role](text) for c, role in spec.columns.items()} for text in texts]
    lines = [json.dumps({"id": f"r{n}", **one}) + "\n" for n, one in enumerate(records)]
    (place / ROWS).write_text("".join(lines))
    _judge(place, EvaluationData(place / ROWS, {}), task, engine)


def _judge(place: Path, data: EvaluationData, task: str, engine: FakeEngine) -> None:
    spec = load_tasks()[task]
    for side, adapter in zip(RUNS, (ADAPTER, None), strict=True):
        plan = RunPlan(spec, data, data.rows(spec), adapter)
        runner.run(plan, engine, place / f"{HELD_OUT}-{side}")
