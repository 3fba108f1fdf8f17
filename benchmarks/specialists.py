"""How well an adapter does its task on rows it was not trained on, the bare base beside it.

Every row goes through the app's own engine, quantized as it serves.

python -m benchmarks.specialists sentiment validation.jsonl --adapter sentiment-en --rows 300
python -m benchmarks.specialists classification ag_news.jsonl --adapter classification-en \\
    --labels "World, Sports, Business, Sci/Tech"

The last line on standard output is one JSON object.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer
from rouge_score import rouge_scorer
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from core.settings import load_settings
from engine.engine import TorchEngine
from engine.interface import ChooseRequest, Delta, WriteRequest
from engine.load import load_engine
from finetune.recipe import Source
from tasks.rows import Row, exchanged, read
from tasks.spec import TaskSpec, find_task, load_tasks

LONGEST = 96  # tokens an answer may have here: the references are shorter


def main(
    task: str,
    file: Path,
    adapter: Annotated[str | None, typer.Option(help="none is the bare base")] = None,
    rows: Annotated[int, typer.Option(help="rows drawn, by seed 0")] = 10**9,
    labels: Annotated[str, typer.Option(help="label list, by comma; the task's own if none")] = "",
    column: Annotated[list[str] | None, typer.Option(help="file column=role")] = None,
    reverse: Annotated[bool, typer.Option(help="measure the other direction")] = False,
) -> None:
    """Measure one adapter, or the base, on one file."""
    spec = find_task(load_tasks(), task)
    columns = dict(pair.split("=") for pair in column or [])
    table = read(file, Source(path=str(file), columns=columns), spec).rows
    drawn = random.Random(0).sample(table, min(rows, len(table)))
    drawn = [exchanged(row) for row in drawn] if reverse else drawn
    engine = load_engine(load_settings(profile="starter"))
    began = time.perf_counter()
    scored = (
        _choose(engine, spec, drawn, adapter, labels)
        if spec.kind == "choose"
        else _write(engine, spec, drawn, adapter)
    )
    engine.close()
    result = {
        "task": task,
        "data": f"{file.parent.name}/{file.name}",
        "adapter": adapter,
        "rows": len(drawn),
        "reverse": reverse,
        **scored,
        "seconds": round(time.perf_counter() - began, 1),
    }
    print(json.dumps(result, ensure_ascii=False))


def _choose(
    engine: TorchEngine, spec: TaskSpec, rows: list[Row], adapter: str | None, labels: str
) -> dict[str, Any]:
    names = [part.strip() for part in labels.split(",")] if labels else list(_said(spec))
    right, answers, surprise = 0, Counter[str](), 0.0
    for row in rows:
        messages = tuple(spec.messages(row.text, spec.fills(row.slots, names)))
        scores = engine.choose(ChooseRequest(messages, tuple(names), adapter)).logprobs
        best = max(scores, key=scores.__getitem__)
        answers[best] += 1
        right += best == row.answer
        surprise += _surprise(scores, row.answer)
    count = len(rows)
    return {
        "accuracy": round(right / count, 4),
        "log_loss": round(surprise / count, 4),
        "answers": dict(answers.most_common()),
    }


def _said(spec: TaskSpec) -> list[str]:
    return [both.en for both in spec.labels.values()]


def _surprise(scores: dict[str, float], truth: str) -> float:
    """Negative log of the probability that softmax over the labels gives the right one."""
    from math import exp, log

    top = max(scores.values())
    total = sum(exp(value - top) for value in scores.values())
    return log(total) - (scores[truth] - top)


def _write(
    engine: TorchEngine, spec: TaskSpec, rows: list[Row], adapter: str | None
) -> dict[str, Any]:
    decoding = spec.decoding.model_copy(update={"max_new_tokens": LONGEST})
    texts = []
    for row in rows:
        messages = tuple(spec.messages(row.text, spec.fills(row.slots)))
        request = WriteRequest(messages, adapter, decoding)
        parts = [item.text for item in engine.write(request) if isinstance(item, Delta)]
        texts.append("".join(parts).strip())
    references = [row.answer for row in rows]
    for row, text in list(zip(rows, texts, strict=True))[:5]:
        print(json.dumps([row.text[:80], text, row.answer], ensure_ascii=False), file=sys.stderr)
    rouge = rouge_scorer.RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True)
    scores = [rouge.score(a, b) for a, b in zip(references, texts, strict=True)]
    return {
        "bleu": round(BLEU().corpus_score(texts, [references]).score, 2),
        "chrf": round(CHRF().corpus_score(texts, [references]).score, 2),
        **{
            name: round(sum(score[name].fmeasure for score in scores) / len(scores), 4)
            for name in ("rouge1", "rouge2", "rougeL")
        },
    }


if __name__ == "__main__":
    typer.run(main)
