"""`python -m workshop`: the commands of the review."""

from __future__ import annotations

import getpass
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, cast, get_args

import typer
import yaml

from agent.feedback.store import Feedback
from core.errors import InputError, UnknownName
from core.statement import in_english
from core.terminal import aside
from tasks.data_files import FileForm
from tasks.label_names import label_of, task_labels
from tasks.rows import layout_of, read
from tasks.spec import TaskSpec, find_task, load_tasks
from workshop import collect as collecting
from workshop import exchange, intake, label_studio, similar
from workshop.collect import RANDOM_SHARE
from workshop.intake import slots_of, take_in
from workshop.order import put_in_order
from workshop.review_row import ReviewRow, Status, Why
from workshop.rows import Mark, ReviewStore
from workshop.selection import HELD_OUT, RowFilter
from workshop.selection import select as selecting
from workshop.withdrawal import withdraw as withdrawing

app = typer.Typer()
SHOWN = 80  # characters of a text in a list
NOTES_SHOWN = 5  # of a file's
TaskName = Annotated[str, typer.Option("--task", help="name of the task")]
AnyTask = Annotated[str | None, typer.Option("--task", help="only rows of this task")]
Ids = Annotated[list[str], typer.Argument(help="ids of rows, as `list` has them")]
By = Annotated[str | None, typer.Option(help="who decides; by default who is logged in here")]
Consent = Annotated[
    bool,
    typer.Option("--consent", help="whoever the texts are from agrees to a training with them"),
]
Share = Annotated[float, typer.Option(min=0, max=1, help="held out at random, to judge on")]


@app.command()
def collect() -> None:
    """Put disliked answers, corrected routes and corrected labels into the queue."""
    found = collecting.of_feedback(Feedback(), load_tasks())
    print(f"{ReviewStore().add(found.rows):,} new rows")
    _say(found.passed_over)


@app.command()
def add(
    file: Annotated[Path, typer.Argument(help="CSV, TSV, XLSX, JSON, JSON lines or Parquet")],
    task: TaskName,
    slot: Annotated[
        list[str] | None, typer.Option(help="name=value: target=French, labels=bug,praise")
    ] = None,
    column: Annotated[list[str] | None, typer.Option(help="file column=role")] = None,
    answer: Annotated[
        list[str] | None, typer.Option(help="answer in the file=the label it means")
    ] = None,
    own_labels: Annotated[
        bool, typer.Option("--own-labels", help="the answers in the file are the label list")
    ] = False,
    results: Annotated[
        Path | None,
        typer.Option(help="the journal of `python -m agent batch` over this table"),
    ] = None,
    consent: Consent = False,
    reviewed_by: Annotated[
        str, typer.Option(help="has looked at every answer in the file: they are accepted")
    ] = "",
    share: Share = RANDOM_SHARE,
    encoding: Annotated[str | None, typer.Option(help="of the file, like gb18030")] = None,
    delimiter: Annotated[str | None, typer.Option(help="a character, or tab")] = None,
    sheet: Annotated[str | None, typer.Option(help="of a workbook")] = None,
) -> None:
    """Put the texts of a file into the queue, labelled or not; Label Studio's and Argilla's too."""
    spec, store = find_task(load_tasks(), task), ReviewStore()
    if results:
        form = FileForm(encoding, delimiter, sheet) if encoding or delimiter or sheet else None
        found = collecting.of_table(file, results, spec, form=form, consent=consent, share=share)
        print(f"{store.add(found.rows):,} new rows")
        _say(found.passed_over)
        return
    said = {"encoding": encoding, "delimiter": delimiter, "sheet": sheet}
    layout = layout_of(_pairs("--column", column), spec).model_copy(
        update={**said, "answers": _pairs("--answer", answer)}
    )
    texts, notes = exchange.read_annotated(file, spec, layout)
    for note in notes[:NOTES_SHOWN]:
        aside(in_english(note))
    if len(notes) > NOTES_SHOWN:
        aside(f"… and {len(notes) - NOTES_SHOWN:,} more rows that cannot be used")
    slots = slots_of(spec, _pairs("--slot", slot))
    slots |= intake.own_labels(texts, spec) if own_labels else {}
    taken = take_in(
        store, texts, spec, slots=slots, consent=consent, reviewer=reviewed_by, share=share
    )
    held = f", {taken.held_out:,} of them held out" if taken.held_out else ""
    print(f"{taken.added:,} new rows{held}; {taken.decided:,} decided")
    _say(taken.passed_over)
    if taken.added and not consent:
        aside("Without --consent the new rows can be looked at, and not accepted.")


@app.command("list")
def list_rows(
    task: AnyTask = None,
    status: Annotated[Status, typer.Option()] = "pending",
    why: Annotated[Why | None, typer.Option(help="only rows that are here because of this")] = None,
    rater: Annotated[str | None, typer.Option(help="only rows of this rater")] = None,
    containing: Annotated[str, typer.Option(help="only rows with these words")] = "",
    limit: Annotated[int, typer.Option(min=1)] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="print whole rows as JSON lines")] = False,
) -> None:
    """List rows, those first that are to be reviewed first."""
    store = ReviewStore()
    rows = store.find(status, task, limit, why=why, rater=rater, containing=containing)
    marks = store.marks([row.id for row in rows])
    for row in rows:
        print(row.model_dump_json() if as_json else _line(row, marks.get(row.id, {})))


@app.command()
def accept(
    id: Annotated[str, typer.Argument(help="of the row")],
    right: Annotated[
        str | None, typer.Argument(help="the right answer; by default what is suggested")
    ] = None,
    by: By = None,
) -> None:
    """Accept a row with its right answer."""
    store = ReviewStore()
    row = store.get(id)
    answer = row.suggested if right is None else right
    task = find_task(load_tasks(), row.task)
    done = store.decide(id, _label(row, answer, task), by or getpass.getuser())
    print(f"{done.id}: {done.right}")


@app.command()
def decline(ids: Ids, by: By = None) -> None:
    """Put rows aside."""
    store = ReviewStore()
    for id in ids:
        print(f"{store.decline(id, by or getpass.getuser()).id}: declined")


@app.command()
def undo(by: By = None) -> None:
    """Take your last decision back."""
    id = ReviewStore().undo(by or getpass.getuser())
    if id is None:
        raise InputError(f"{by or getpass.getuser()} has decided nothing that could be taken back.")
    print(f"{id}: {ReviewStore().get(id).status}")


@app.command()
def check(
    task: TaskName,
    judged: Annotated[
        list[Path] | None, typer.Option(help="evaluation set: its rows cannot be trained on")
    ] = None,
    column: Annotated[list[str] | None, typer.Option(help="its file column=role")] = None,
) -> None:
    """Mark duplicates, suspects of wrong labels, evaluation rows, odd raters; put in order."""
    spec, store = find_task(load_tasks(), task), ReviewStore()
    layout = layout_of(_pairs("--column", column), spec).model_copy(update={"answer": ""})
    sets = {file.name: [row.text for row in read(file, layout, spec).rows] for file in judged or []}
    found = similar.look_over(store, spec, sets)
    print(f"{found.duplicates:,} repeat another row")
    print(f"{found.suspects:,} have a label that looks wrong")
    print(f"{found.in_evaluation:,} stand in an evaluation set")
    for one in found.raters:
        odd = ": odd, see `leave-out` and `review-again`" if one.odd else ""
        print(f"rater {one.rater}: {one.against} of {one.rows} against the rest{odd}")
    print(f"{put_in_order(store, spec.name):,} pending rows are in order")


@app.command("leave-out")
def leave_out(
    rater: Annotated[str, typer.Argument(help="as `list --json` has it")],
    back: Annotated[bool, typer.Option("--back", help="take the rater in again")] = False,
) -> None:
    """Leave all rows of a rater out of review and training."""
    ReviewStore().leave_out(rater, not back)
    print(f"{rater}: {'taken in again' if back else 'left out'}")


@app.command("review-again")
def review_again(
    rater: Annotated[str, typer.Argument(help="as `list --json` has it")], by: By = None
) -> None:
    """Have all rows of a rater reviewed anew, without what the rater said of them."""
    count = ReviewStore().review_again(rater, by or getpass.getuser())
    print(f"{rater}: {count:,} rows to review again")


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help=".csv, .tsv, .xlsx, .jsonl; .json of the tools")],
    task: TaskName,
    status: Annotated[Status, typer.Option()] = "pending",
    form: Annotated[exchange.Format, typer.Option("--format", help="of the file")] = "table",
) -> None:
    """Write rows for another tool; `add` takes what was decided there."""
    spec = find_task(load_tasks(), task)
    rows = ReviewStore().find(status, spec.name)
    exchange.write_rows(file, rows, spec, form)
    print(f"{len(rows):,} rows in {file}")
    if form == "label-studio":
        aside(f"Labeling interface: {label_studio.labeling_config(spec)}")


@app.command()
def select(
    folder: Annotated[Path, typer.Argument(help="where the files go")],
    task: TaskName,
    why: Annotated[list[str] | None, typer.Option(help="only such rows; can be repeated")] = None,
    answer: Annotated[list[str] | None, typer.Option(help="only such right answers")] = None,
    language: Annotated[list[str] | None, typer.Option(help="only texts in it, by code")] = None,
    without: Annotated[list[str] | None, typer.Option(help="a rater to leave out")] = None,
    since: Annotated[str, typer.Option(help="decided at this time (UTC, ISO 8601) or later")] = "",
) -> None:
    """Write the accepted rows as training.jsonl and held-out.jsonl."""
    spec = find_task(load_tasks(), task)
    chosen = RowFilter(
        why=tuple(map(_why, why or ())),
        answers=tuple(answer or ()),
        languages=tuple(language or ()),
        raters=tuple(without or ()),
        since=since,
    )
    selection = selecting(ReviewStore(), spec, chosen)
    for file in selection.write(folder):
        aside(str(file))
    print(f"{len(selection.training):,} rows to train on, {len(selection.held_out):,} held out")
    for name, counts in selection.counts().items() if selection.training else ():
        print(f"  {name}: " + ", ".join(f"{value} {count:,}" for value, count in counts.items()))
    _say(Counter({str(name): count for name, count in selection.left_out.items()}))
    entry = yaml.safe_dump({"data": [selection.data_source()]}, sort_keys=False, allow_unicode=True)
    if selection.training:
        aside(f"In a recipe:\n{entry.rstrip()}")
    if selection.held_out:
        words = shlex.join(["--data", str(folder / HELD_OUT), *selection.evaluation_options()])
        aside(f"In an evaluation: --task {spec.name} {words}")


@app.command()
def withdraw(
    ids: Annotated[list[str] | None, typer.Argument(help="of rows")] = None,
    rater: Annotated[str, typer.Option(help="all rows of this rater")] = "",
) -> None:
    """Delete rows because consent was taken back; name the adapters that were made with them."""
    if not (ids or rater):
        raise InputError("Name rows by their ids, or a --rater.")
    adapters = withdrawing(ReviewStore(), rater, ids or [])
    if rater:
        Feedback().withdraw(rater)
    print("\n".join(adapters) if adapters else "No adapter was trained on them.")


@app.command()
def status() -> None:
    """Count rows by task; say which raters are left out."""
    store = ReviewStore()
    for task, counts in store.counts().items():
        print(f"{task}: " + ", ".join(f"{count:,} {name}" for name, count in counts.items()))
    for rater in store.left_out():
        print(f"left out: rater {rater}")


def _line(row: ReviewRow, marks: Mapping[Mark, str]) -> str:
    text = " ".join(row.text.split())
    text = text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
    answer = row.right or row.suggested
    said = "".join(f" [{mark}: {words}]" for mark, words in marks.items())
    agreed = "" if row.consent else " [no consent]"
    return f"{row.id}  {row.why}  {text} → {answer}{agreed}{said}"


def _label(row: ReviewRow, answer: str, task: TaskSpec) -> str:
    """The answer; of a task that chooses, the label that is meant.

    Raises:
        InputError: it is none of those offered.
    """
    choices = row.choices(task)
    names = {one: one for one in choices} if task.own_labels(row.slots) else task_labels(task)
    if task.kind != "choose" or not answer:
        return answer
    label = label_of(answer, names)
    if label is None:
        raise InputError(
            f"{answer!r} is not offered for this row. Choose of: {', '.join(choices)}."
        )
    return label


def _why(word: str) -> Why:
    for one in get_args(Why):
        if one == word:
            return cast(Why, one)
    raise UnknownName("reason", word, get_args(Why))


def _pairs(option: str, words: Sequence[str] | None) -> dict[str, str]:
    pairs = {}
    for word in words or ():
        name, sign, value = word.partition("=")
        if not (sign and name and value):
            raise InputError(f"{option} {word!r} is not NAME=VALUE.")
        pairs[name] = value
    return pairs


def _say(passed_over: Mapping[str, int]) -> None:
    for why, count in passed_over.items():
        if count:
            aside(f"{count:,} passed over: {why}")
