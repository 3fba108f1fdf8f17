"""What a judging, a training or a job says is said in both languages, with the same values."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import get_args

import pytest
from judged import ADAPTER, judged
from said_in_code import REFUSALS, braces, said_in_code
from typer.testing import CliRunner

from adapter_store.files import RUN_RECORD
from core.errors import InputError
from core.paths import user_dir
from core.statement import quoted, statement
from evaluation import figures
from evaluation.gate_verdict import Kind
from evaluation.record import Outcome
from evaluation.row_scores import row_scores
from finetune.__main__ import app as finetune
from tasks.spec import load_tasks
from ui.statements import in_both
from ui.words import words
from ui.workshop_jobs import draw_train
from ui.workshop_verdict import draw_verdict
from ui.workshop_view import View
from workshop.annotated import AnnotatedText
from workshop.intake import take_in
from workshop.jobs import LOG, Job, JobFolder, Jobs, State, now
from workshop.judging import VERDICT
from workshop.review_row import ReviewRow
from workshop.rows import ReviewStore
from workshop.selection import select
from workshop.training import REPORT, TrainingWish, plan_training
from workshop.verdict import read_verdict

TASKS = load_tasks()
NUMBER = re.compile(r"\d[\d,.]*\d|\d")


def test_every_statement_has_its_chinese_words_with_the_same_values() -> None:
    parts = ("adapter_store", "agent", "evaluation", "finetune", "tasks", "workshop", "ui")
    made = said_in_code(["statement", "RowError"], *parts)
    assert len(made) > 30
    for key, sentence in made.items():
        assert braces(words()[f"said.{key}"].zh) == braces(sentence), key
    refusals = {f"refused.{key}" for key in said_in_code(REFUSALS, "workshop", "ui")}
    said = {key.removeprefix("said.") for key in words() if key.startswith("said.")}
    assert said == {*made} | refusals


def test_every_reason_why_a_text_is_no_row_is_said_in_chinese(home: Path) -> None:
    task, store = TASKS["sentiment"], ReviewStore()
    texts = [AnnotatedText(text=text) for text in ("", "a\ufffd", "a\ud800", "a\0", "b", "b")]
    taken = take_in(store, [*texts, AnnotatedText(text="c", disagreed=True)], task)
    (row,) = [row for row in store.pending() if row.text == "b"]
    answers = [AnnotatedText(text="b", id=row.id, right="positive"), AnnotatedText(text="c")]
    notes = [*taken.left_out(), *take_in(store, answers, task).left_out()]
    assert len(notes) == 8
    for note in notes:
        assert not re.search("[a-z]", in_both(note).zh), note


@pytest.mark.parametrize("kind", get_args(Kind))
def test_every_check_of_the_gate_has_a_title_in_both_languages(kind: str) -> None:
    both = words()[f"gate.{kind.replace(' ', '_')}"]
    assert both.en
    assert re.search(r"[\u4e00-\u9fff]", both.zh)


def figure_names() -> Iterator[str]:
    """Of all figures, and of what is compared row by row in their place."""
    choice = Outcome(line=1, text="t", reference="a", answer="a", logprobs={"a": 0.0, "b": -1.0})
    text = Outcome(
        line=1, text="t", reference="a b c", answer="a b c", likelihood=-3.0, reference_tokens=3
    )
    for name in figures.BUILDERS:
        yield name
        try:
            yield row_scores(name, [choice if name in figures.CHOOSING else text]).name
        except InputError:  # one that is neither good nor bad decides nothing
            continue


@pytest.mark.parametrize("name", sorted({*figure_names()}))
def test_every_figure_has_a_name_in_chinese(name: str) -> None:
    said = in_both([statement("better.figure", "{figure}", figure=name)])
    assert words()[f"term.figure.{name}"].zh
    assert said.en == name


def drawn(html: str, language: str) -> list[str]:
    """What the checks of a drawn verdict say in one language."""
    checks = re.findall(r'<li class="pb-(?:good|warn)">(.*?)</li>', html, re.DOTALL)
    found = [re.findall(rf'<span lang="{language}">(.*?)</span>', one)[-1] for one in checks]
    return [unescape(one) for one in found]


def test_a_verdict_says_the_same_numbers_in_both_languages(home: Path) -> None:
    found = judged([f"A sentence of a text, the number {n}." for n in range(12)])
    html = draw_verdict(found, TASKS["translation"], View())
    english, chinese = (drawn(html, language) for language in ("en", "zh"))
    assert len(english) == len(chinese) == len((read_verdict(found.folder) or {})["checks"])
    for en, zh in zip(english, chinese, strict=True):
        assert en not in zh
        assert sorted(NUMBER.findall(en)) == sorted(NUMBER.findall(zh))


def test_a_verdict_from_before_there_were_statements_is_shown_in_english(home: Path) -> None:
    found = judged(["A text.", "Another text."])
    old = {"name": "better", "passed": False, "reason": "accuracy <b>", "more_rows": 0}
    (found.folder / VERDICT).write_text(json.dumps({"answer": "not better", "checks": [old]}))
    assert ": accuracy &lt;b&gt;</li>" in draw_verdict(found, TASKS["translation"], View())


def test_a_gain_that_another_check_speaks_against_is_said(home: Path) -> None:
    found = judged(["A text.", "Another text."])
    checks = [{"name": name, "passed": name == "better", "reason": "so"} for name in
              ("better", "slices")]  # fmt: skip
    for answer, shown in (("not better", True), ("better", False)):
        (found.folder / VERDICT).write_text(json.dumps({"answer": answer, "checks": checks}))
        html = draw_verdict(found, TASKS["translation"], View())
        assert ("a gain is shown, and what is marked below" in html) is shown


def test_a_sentence_of_another_version_is_shown_in_english_between_the_others() -> None:
    known = statement("better.worse", "It is worse.")
    gone, other = statement("better.gone", "It shines."), statement("answers.failed", "Few.", n=3)
    both = in_both([known, gone, other, quoted("error {x}")])
    assert both.en == "It is worse. It shines. Few. error {x}"
    assert both.zh.split() == ["比现用的差。", "It", "shines.", "Few.", "error", "{x}"]


def failed_training(state: State) -> str:
    """A training that failed, as the page draws it."""
    jobs, task = Jobs(), TASKS["sentiment"]
    name = jobs.new_id()
    job = Job(
        id=name, kind="train", task=task.name, adapter="mine", in_place="", rows=(), by="me",
        at=now(), commands=(),
    )  # fmt: skip
    found: JobFolder = jobs.add(job)
    found.write(state)
    return draw_train(TASKS, select(ReviewStore(), task), [], "mine-2", View(), [found])


def test_why_a_job_failed_is_said_in_both_languages_and_a_command_is_quoted(home: Path) -> None:
    killed = statement("job.signal", "It was ended by signal {signal}.", signal=9)
    html = failed_training(State(status="failed", problem=killed.english, statement=killed))
    assert '<span lang="en">It was ended by signal 9.</span>' in html
    assert re.search(r'<span lang="zh">它被信号 9 结束；[^<]+</span>', html)
    html = failed_training(State(status="failed", problem="error in <recipe>"))
    assert "<code>error in &lt;recipe&gt;</code>" in html
    assert "命令的最后一句是" in html


def test_what_a_check_found_is_said_in_both_languages_with_links_to_the_rows(
    home: Path, tiny_folder: Path
) -> None:
    store, task = ReviewStore(), TASKS["sentiment"]
    rights = ["positive"] * 9 + ["negative"]
    rows = [
        ReviewRow(
            id=f"r{n}", task=task.name, text=f"Soup {n // 2} was there.", suggested=right,
            why="disliked", consent=True,
        )
        for n, right in enumerate(rights * 2)
    ]  # fmt: skip
    store.add(rows)
    for one in rows:
        store.decide(one.id, one.suggested, "me")
    wish = TrainingWish(name="mine", base=str(tiny_folder))
    found = plan_training(Jobs(), select(store, task), wish, "me")
    done = CliRunner().invoke(finetune, found.job.commands[0].arguments[1:])
    assert done.exit_code == 0, done.output
    found.write(State(status="ready", done=1))
    html = draw_train(TASKS, select(store, task), [], "mine-2", View(), [found])
    for said in (
        "only 18 rows to learn from", "只有 18 条可以学习", "rows repeat an earlier one (lines <a",
        "条与前面的重复（第 <a", "estimate: 12 steps, about", "估计：12 步，", "标签：positive",
    ):  # fmt: skip
        assert said in html, html
    (found.folder / REPORT).unlink()  # as a check of before left it, with its log alone
    (found.folder / LOG).write_text("reviewed rows: 18 rows\n  note: 2 rows (lines 3)\nestimate: 1")
    html = draw_train(TASKS, select(store, task), [], "mine-2", View(), [found])
    assert html.count('note: 2 rows (lines <a href="#pb-line-3">3</a>)') == 2


def test_a_training_whose_loss_rose_is_kept_and_says_so() -> None:
    judged(["x"])  # leaves its adapter
    record = {"name": ADAPTER, "loss_before": 0.2, "evaluations": [[4, 0.1], [8, 0.4]]}
    (user_dir() / "adapters" / ADAPTER / RUN_RECORD).write_text(json.dumps(record))
    jobs = Jobs()
    values = {"task": "sentiment", "adapter": ADAPTER, "in_place": "", "rows": (), "commands": ()}
    found = jobs.add(Job(id=jobs.new_id(), kind="train", by="me", at=now(), **values))
    found.write(State(status="finished"))
    chosen = select(ReviewStore(), TASKS["sentiment"])
    drawn = draw_train(TASKS, chosen, [], name="", view=View(), jobs=[found])
    assert "the validation loss ended at 0.400, above 0.200" in drawn
    assert "验证损失从 0.200 升到 0.400" in drawn
    assert "It is kept: a judging on other rows tells" in drawn
