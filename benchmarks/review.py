"""What review finds of faults that were planted among real rows, and what else it marks.

    python -m benchmarks.review train.jsonl validation.jsonl --column text --label label
    python -m benchmarks.review banking77/train.jsonl banking77/validation.jsonl --label intent

Rows are drawn from the first file by each seed, and planted are: near-duplicates (slips of the
keyboard, a word more, a word less), a share of labels that are exchanged, one rater of ten whose
labels are exchanged, and rows of the second file, edited the same way, as an evaluation set's.
Precision counts what is marked and was not planted as wrong, although real files hold faults of
their own. The last line on standard output is one JSON object.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Annotated

import typer

from core.errors import InputError
from core.terminal import aside
from finetune import augment
from tasks.rows import Layout, Row, read
from workshop import similar
from workshop.out_of_sample import out_of_sample
from workshop.review_row import ReviewRow

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
RATERS = 10


@app.command()
def main(
    train: Annotated[Path, typer.Argument(help="labelled rows")],
    judged: Annotated[Path, typer.Argument(help="an evaluation set of the same kind")],
    column: Annotated[str, typer.Option(help="the column with the texts")] = "text",
    label: Annotated[str, typer.Option(help="the column with the labels")] = "label",
    rows: Annotated[int, typer.Option(help="drawn from the first file")] = 1000,
    planted: Annotated[int, typer.Option(help="duplicates, and rows of the evaluation set")] = 100,
    wrong: Annotated[float, typer.Option(help="share of the labels that are exchanged")] = 0.1,
    seeds: Annotated[int, typer.Option(help="draws of everything")] = 5,
) -> None:
    """Measure."""
    layout = Layout(columns={column: "text", label: "answer"})
    known, held = read(train, layout).rows, read(judged, layout).rows
    if len(known) < rows or len(held) < planted:
        raise InputError(f"{train.name} has {len(known)} rows, {judged.name} {len(held)}.")
    tests: dict[str, Callable[[list[Row], random.Random], dict[str, float]]] = {
        "near-duplicates": lambda drawn, rng: _duplicates(drawn, planted, rng),
        "evaluation rows": lambda drawn, rng: _evaluation(drawn, held, planted, rng),
        "wrong labels": lambda drawn, rng: _wrong_labels(drawn, wrong, rng),
        "hostile rater": _hostile,
        "raters without fault": _fair,
    }
    found: dict[str, dict[str, float]] = {}
    for name, test in tests.items():
        begun = time.monotonic()
        each = [
            test(random.Random(seed).sample(known, rows), random.Random(seed))
            for seed in range(seeds)
        ]
        found[name] = {key: round(sum(one[key] for one in each) / seeds, 3) for key in each[0]}
        found[name]["seconds"] = round((time.monotonic() - begun) / seeds, 2)
        aside(f"{name}: {found[name]}")
    print(json.dumps({"file": train.name, "rows": rows, "seeds": seeds, "found": found}))


def _duplicates(drawn: Sequence[Row], planted: int, rng: random.Random) -> dict[str, float]:
    """Half of the rows are done; the other half is pending, with copies of done ones among it."""
    half = len(drawn) // 2
    done, pending = _review(drawn[:half], "done"), _review(drawn[half:])
    copied = rng.sample(list(drawn[:half]), planted)
    copies = _review([_edited(row, rng) for row in copied], "copy")
    found = similar.near_duplicates([*pending, *copies], done)
    return _scores(found, {one.id for one in copies})


def _evaluation(
    drawn: Sequence[Row], held: Sequence[Row], planted: int, rng: random.Random
) -> dict[str, float]:
    copies = _review([_edited(row, rng) for row in rng.sample(list(held), planted)], "copy")
    found = similar.in_evaluation([*_review(drawn), *copies], {"judged": [r.text for r in held]})
    return _scores(found, {one.id for one in copies})


def _wrong_labels(drawn: Sequence[Row], share: float, rng: random.Random) -> dict[str, float]:
    flipped = set(rng.sample(range(len(drawn)), round(share * len(drawn))))
    rows = _review([_exchanged(r, drawn, rng) if i in flipped else r for i, r in enumerate(drawn)])
    found = out_of_sample(rows)
    assert found
    return _scores(similar.suspects(found), {rows[i].id for i in flipped})


def _hostile(drawn: Sequence[Row], rng: random.Random) -> dict[str, float]:
    return _rated(drawn, rng, hostile=True)


def _fair(drawn: Sequence[Row], rng: random.Random) -> dict[str, float]:
    return _rated(drawn, rng, hostile=False)


def _rated(drawn: Sequence[Row], rng: random.Random, hostile: bool) -> dict[str, float]:
    """The rows dealt out to ten raters, of whom the first may exchange all labels."""
    rows = []
    for i, row in enumerate(drawn):
        bad = hostile and i % RATERS == 0
        [one] = _review([_exchanged(row, drawn, rng) if bad else row], f"{i}")
        rows.append(one.model_copy(update={"rater": f"rater {i % RATERS}"}))
    found = out_of_sample(rows)
    assert found
    odd = {one.rater for one in similar.rater_agreement(found) if one.odd}
    return {"found": float("rater 0" in odd), "others named": len(odd - {"rater 0"})}


def _review(rows: Sequence[Row], kind: str = "row") -> list[ReviewRow]:
    return [
        ReviewRow(
            id=f"{kind} {i}", task="mine", text=row.text, why="imported", suggested=row.answer
        )
        for i, row in enumerate(rows)
    ]


def _edited(row: Row, rng: random.Random) -> Row:
    """The row with a small edit, as people copy texts."""
    kind, words = rng.choice(("slips", "more", "capitals", "less")), row.text.split(" ")
    if kind == "slips":
        return augment.typos([row], 1.0, rng)[0]
    if kind == "more":
        return Row(f"{row.text} {rng.choice(('Thanks!', 'please', 'lol', '谢谢'))}", row.answer)
    if kind == "capitals" or len(words) < 3:
        return Row(row.text.upper() + "!", row.answer)
    words.pop(rng.randrange(len(words)))
    return Row(" ".join(words), row.answer)


def _exchanged(row: Row, rows: Sequence[Row], rng: random.Random) -> Row:
    others = sorted({one.answer for one in rows} - {row.answer})
    return Row(row.text, rng.choice(others))


def _scores(found: Collection[str], planted: Collection[str]) -> dict[str, float]:
    hits = len(set(found) & set(planted))
    return {
        "recall": hits / len(planted),
        "precision": hits / len(found) if found else 1.0,
        "marked": len(found),
    }


if __name__ == "__main__":
    app()
