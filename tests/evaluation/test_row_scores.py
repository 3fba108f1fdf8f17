"""A number from 0 to 1 for each row, whatever the task's first figure is."""

from __future__ import annotations

import math

import numpy as np
import pytest

from core.errors import InputError
from evaluation.record import Outcome
from evaluation.row_scores import differences, row_scores
from tasks.spec import load_tasks


def chosen(answer: str, reference: str, **logprobs: float) -> Outcome:
    return Outcome(line=1, text="t", reference=reference, answer=answer, logprobs=logprobs)


def written(answer: str, reference: str = "the cat sat on the mat", **more: float) -> Outcome:
    return Outcome(line=1, text="a source", reference=reference, answer=answer, **more)


def test_choices() -> None:
    rows = [chosen("a", "a", a=0.0, b=-9.0), chosen("a", "b", a=0.0, b=0.0)]
    for name in ("accuracy", "macro_f1"):
        assert row_scores(name, rows).values.tolist() == [1, 0]
        assert row_scores(name, rows).name == "accuracy"
    for name in ("log_loss", "calibration_error"):
        values = row_scores(name, rows).values
        assert values[0] == pytest.approx(1, abs=1e-3)
        assert values[1] == pytest.approx(0.75)


@pytest.mark.parametrize("name", ["bleu", "chrf", "rouge_1", "rouge_2", "rouge_l"])
def test_likeness_to_the_reference(name: str) -> None:
    rows = [written("the cat sat on the mat"), written("the cat sat"), written("nothing alike"),
            written("")]  # fmt: skip
    values = row_scores(name, rows).values
    assert values[0] == pytest.approx(1)
    assert values[0] > values[1] > values[2] >= values[3] >= 0


def test_what_is_bad_is_turned_over_and_a_row_without_a_score_differs_in_nothing() -> None:
    plain, made_up = written("no fact here"), written("it was in Paris, 1999")
    assert differences("unsupported", [made_up], [made_up]).values.tolist() == [0]
    assert differences("unsupported", [plain], [made_up]).values.tolist() == [0]
    assert row_scores("unsupported", [made_up]).values.tolist() == [0]
    varied, dull = written("one two three four five"), written("no no no no no no no no")
    assert differences("repetition", [dull], [varied]).values[0] > 0.5


def test_perplexity_is_the_probability_of_a_token() -> None:
    rows = [written("x", likelihood=-2 * math.log(4), reference_tokens=2)]
    assert row_scores("perplexity", rows).values.tolist() == pytest.approx([0.25])
    with pytest.raises(InputError, match="Line 1 has no likelihood"):
        row_scores("perplexity", [written("x")])


def test_a_figure_without_good_or_bad_is_refused() -> None:
    with pytest.raises(InputError, match="'answer_length' says nothing of better or worse"):
        row_scores("answer_length", [written("x")])


@pytest.mark.parametrize("task", load_tasks().values(), ids=lambda task: task.name)
def test_every_shipped_task_has_one(task: object) -> None:
    primary = task.metrics[0]
    row = (
        chosen("a", "a", a=0.0, b=-1.0)
        if task.kind == "choose"
        else written("the cat", likelihood=-3.0, reference_tokens=3)
    )
    values = row_scores(primary, [row, row]).values
    assert np.isfinite(values).all()
    assert ((values >= 0) & (values <= 1)).all()
