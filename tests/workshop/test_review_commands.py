"""`python -m workshop` as a person types it."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from agent.feedback.answered_step import AnsweredStep
from agent.feedback.store import Feedback, Rating
from core.errors import InputError, UnknownName
from core.paths import REPOSITORY
from workshop.__main__ import app
from workshop.rows import ReviewStore

Workshop = Callable[..., Result]
ABOUT = [
    "soup",
    "bread",
    "waiter",
    "table",
    "window",
    "garden",
    "music",
    "price",
    "coffee",
    "dessert",
    "kitchen",
    "stairs",
    "parking",
    "breakfast",
    "pillow",
    "shower",
    "corridor",
    "lift",
    "balcony",
    "towel",
    "curtain",
    "carpet",
    "heating",
    "kettle",
]


@pytest.fixture
def workshop() -> Workshop:
    def run(*words: object) -> Result:
        return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)

    return run


def reviews(folder: Path, count: int = 40) -> Path:
    file = folder / "reviews.csv"
    lines = []
    for i in range(count):
        word, label = (("lovely", "positive"), ("dirty", "negative"))[i % 2]
        about = " ".join(random.Random(i).sample(ABOUT, 8))
        lines.append(f"A {word} place: {about},{label}\n")
    file.write_text("text,label\n" + "".join(lines))
    return file


def test_from_a_file_to_rows_for_a_training(workshop: Workshop, tmp_path: Path) -> None:
    file = reviews(tmp_path)
    added = workshop("add", file, "--task", "sentiment", "--consent", "--share", "0.2")
    assert "40 new rows, " in added.stdout
    assert "repeat another row" in workshop("check", "--task", "sentiment").stdout
    lines = workshop("list", "--task", "sentiment", "--limit", "40", "--json").stdout.splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) == 40
    assert f"{rows[0]['id']}: neutral" in workshop("accept", rows[0]["id"], "Neutral").stdout
    assert workshop("undo").stdout == f"{rows[0]['id']}: pending\n"
    for one in rows:
        workshop("accept", one["id"])
    assert workshop("status").stdout == "sentiment: 0 pending, 40 done, 0 declined\n"
    chosen = workshop("select", tmp_path / "job", "--task", "sentiment")
    held_out = sum(one["held_out"] for one in rows)
    assert f"{40 - held_out} rows to train on, {held_out} held out" in chosen.stdout
    assert len((tmp_path / "job" / "training.jsonl").read_text().splitlines()) == 40 - held_out
    entry = yaml.safe_load(chosen.stderr.partition("In a recipe:\n")[2].partition("In an eval")[0])
    assert entry == {"data": [{"path": "training.jsonl", "name": "reviewed rows"}]}


def test_what_was_disliked_is_collected_and_taken_back(workshop: Workshop, home: Path) -> None:
    feedback = Feedback()
    feedback.rate(Rating("t", -1, "request", "Salut", ["translation"], {}, better="Bonjour"))
    step = AnsweredStep(task="translation", content="Hello", answer="Salut")
    feedback.agree("t", [step], "me")
    assert workshop("collect").stdout == "1 new rows\n"
    assert workshop("collect").stdout == "0 new rows\n"
    [line] = workshop("list").stdout.splitlines()
    assert line == "rating:t:0  corrected  Hello → Bonjour"
    workshop("accept", "rating:t:0")
    job = home / "workshop" / "jobs" / "j1"
    workshop("select", job, "--task", "translation")
    assert "Hello" in (job / "training.jsonl").read_text()
    ReviewStore().mark_used(["rating:t:0"], "mine-1", "f")
    assert workshop("withdraw", "--rater", "me").stdout == "mine-1\n"
    assert (job / "training.jsonl").read_text() == ""
    assert (feedback.ratings()[0].consent, feedback.ratings()[0].steps) == (False, ())
    assert workshop("collect").stdout == "0 new rows\n"


def test_rows_go_to_another_tool_and_come_back(workshop: Workshop, tmp_path: Path) -> None:
    workshop("add", reviews(tmp_path, 4), "--task", "sentiment", "--consent")
    file = tmp_path / "tasks.json"
    said = workshop("export", file, "--task", "sentiment", "--format", "label-studio")
    assert "4 rows in" in said.stdout
    assert "<Choices" in said.stderr
    records = json.loads(file.read_text())
    for record in records:
        result = record["predictions"][0]["result"]
        record["annotations"] = [{"completed_by": 1, "result": result, "was_cancelled": False}]
    file.write_text(json.dumps(records))
    assert "0 new rows; 4 decided" in workshop("add", file, "--task", "sentiment").stdout


def test_a_rater_is_left_out(workshop: Workshop, tmp_path: Path) -> None:
    workshop("leave-out", "hostile")
    assert "left out: rater hostile" in workshop("status").stdout
    workshop("leave-out", "hostile", "--back")
    assert workshop("status").stdout == ""
    workshop("add", reviews(tmp_path, 2), "--task", "sentiment", "--consent")
    assert workshop("review-again", "hostile").stdout == "hostile: 0 rows to review again\n"


def test_bad_words_are_refused_with_what_to_do(workshop: Workshop, tmp_path: Path) -> None:
    file = reviews(tmp_path, 2)
    workshop("add", file, "--task", "sentiment", "--consent")
    [first, _] = ReviewStore().pending()
    for words, error, said in [
        (["accept", first.id, "angry"], InputError, "Choose of: positive"),
        (["accept", "no-such-row"], UnknownName, "no row to review"),
        (["undo", "--by", "nobody"], InputError, "nobody has decided nothing"),
        (["withdraw"], InputError, "Name rows"),
        (["add", tmp_path / "none.csv", "--task", "sentiment"], InputError, "cannot be read"),
        (["add", file, "--task", "sentment"], UnknownName, "Did you mean"),
        (["add", file, "--task", "sentiment", "--slot", "x"], InputError, "NAME=VALUE"),
    ]:  # fmt: skip
        with pytest.raises(error, match=said):
            workshop(*words)


@pytest.mark.slow
def test_as_a_program(tmp_path: Path) -> None:
    program = [sys.executable, "-m", "workshop"]
    done = subprocess.run(
        [*program, "accept", "none"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: There is no row to review named 'none'.")
    assert "Traceback" not in done.stderr
