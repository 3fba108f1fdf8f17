"""The commands for trainings and judgings: what the page does, in a terminal."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Annotated, Literal

import typer

from adapter_store.discovery import finished_adapters
from agent.feedback.store import Feedback
from core.errors import InputError
from core.terminal import aside
from tasks.spec import find_task, load_tasks
from workshop import promoting
from workshop.adapters import for_any_task, in_place, rollback, task_name
from workshop.baseline import classifier_zip
from workshop.blind_comparisons import BlindComparisons, BlindRow, Choice
from workshop.human_preference import LEAST
from workshop.jobs import JobFolder, Jobs
from workshop.judging import plan_judging
from workshop.rows import ReviewStore
from workshop.selection import select
from workshop.training import TrainingWish, plan_training
from workshop.trials import trials as all_trials
from workshop.verdict import read_verdict

app = typer.Typer()
Id = Annotated[str, typer.Argument(help="id of a job; `jobs` lists them")]
Task = Annotated[str, typer.Argument(help="name of the task")]
SAID: dict[str, Choice | Literal["undo", "quit"]] = {
    "1": "first", "2": "second", "0": "tie", "t": "tie", "z": "undo", "q": "quit",
}  # fmt: skip


@app.command()
def train(
    task: Task,
    name: Annotated[str, typer.Option(help="of the new adapter; by default the task's")] = "",
    from_nothing: Annotated[bool, typer.Option(help="go on from no adapter")] = False,
    go_on_from: Annotated[str, typer.Option(help="by default the one in place")] = "",
    epochs: Annotated[float, typer.Option()] = TrainingWish().epochs,
    learning_rate: Annotated[float, typer.Option()] = TrainingWish().learning_rate,
) -> None:
    """Check the reviewed rows of a task and the training of them; `start ID` trains."""
    spec = find_task(load_tasks(), task)
    start = "" if from_nothing else go_on_from or _in_place(spec.name)
    numbers = {"epochs": epochs, "learning_rate": learning_rate}
    wish = TrainingWish.read({"name": name, "start": start, **numbers})
    _begin(plan_training(Jobs(), select(ReviewStore(), spec), wish, getpass.getuser()))


@app.command()
def judge(
    adapter: Annotated[str, typer.Argument(help="a finished adapter's name")],
    beside: Annotated[str, typer.Option(help="by default the one in place; base is none")] = "",
) -> None:
    """Judge an adapter beside the one in place, on the reviewed rows that were kept for it."""
    task = find_task(load_tasks(), task_name(adapter))
    other = "" if beside == "base" else beside or _in_place(task.name)
    _begin(plan_judging(Jobs(), select(ReviewStore(), task), adapter, other, getpass.getuser()))


@app.command()
def jobs() -> None:
    """List trainings and judgings, the latest first."""
    for one in Jobs().all():
        job, state = one.job, one.state
        verdict = read_verdict(one.folder) if job.kind == "judge" else None
        found = f": {verdict['answer']}" if verdict else f": {state.problem}" * bool(state.problem)
        print(f"{job.id}  {job.kind}  {job.adapter}  {state.status}{found}")


@app.command()
def log(job: Id) -> None:
    """Print the end of what a job's commands said."""
    print(Jobs().get(job).log())


@app.command()
def start(job: Id) -> None:
    """Let a job go on: past its check, or from where it was stopped."""
    Jobs().start(job, release=True)
    aside(f"{job} runs. `python -m workshop log {job}` shows how far it is.")


@app.command()
def stop(job: Id) -> None:
    """Stop a job; a training saves a checkpoint, from which `start` goes on."""
    Jobs().stop(job)


@app.command()
def compare(
    job: Id, by: Annotated[str, typer.Option(help="who compares; by default who is here")] = ""
) -> None:
    """Compare the answers of a judging blind, a row at a time, and say what people found."""
    found, who = Jobs().get(job), by or getpass.getuser()
    comparisons = BlindComparisons(found)
    comparisons.require(find_task(load_tasks(), found.job.task))
    row = comparisons.next(who)
    while row:
        print(_shown(row, comparisons.left))
        said = _asked()
        if said == "quit":
            break
        if said == "undo":
            line = comparisons.undo(who)
            row = row if line is None else comparisons.row(line)
        else:
            comparisons.choose(row.line, said, who)
            row = comparisons.next(who)
    print(_found(comparisons))


@app.command()
def baseline(
    job: Id, save: Annotated[Path, typer.Option(help="a new file, like classifier.zip")]
) -> None:
    """Save the simple classifier that an adapter was judged beside, beaten or not."""
    if save.exists():
        raise InputError(f"{save} is there already. Name a new file.")
    all_jobs = Jobs()
    save.write_bytes(classifier_zip(all_jobs, all_jobs.get(job)))
    aside(f"{save}: its README.md says what it is and how it is asked.")


@app.command()
def promote(
    job: Id,
    why: Annotated[str, typer.Option(help="the reason, where it was not found better")] = "",
) -> None:
    """Let the chat use the adapter that a job judged."""
    aside(promoting.promote(Jobs().get(job), getpass.getuser(), why))


@app.command("try")
def try_out(
    job: Id,
    share: Annotated[str, typer.Option(help="of the conversations")] = "0.2",
    why: Annotated[str, typer.Option(help="the reason, where it was found not better")] = "",
) -> None:
    """Let the chat use the adapter that a job judged in a share of the conversations."""
    aside(promoting.promote(Jobs().get(job), getpass.getuser(), why, promoting.read_share(share)))


@app.command()
def trials() -> None:
    """List the trials, with what the ratings say; `rollback` ends one, `promote` too."""
    for one in all_trials(Feedback()):
        event, evidence = one.event, one.evidence
        said = ", ".join(f"{s.adapter} liked {s.liked} of {s.rated}" for s in (one.new, one.old))
        more = f", about {one.more_ratings} more ratings of each" if one.more_ratings else ""
        print(f"{event.task}  {event.share:.0%}  {said}: {evidence.answer}{more}")


@app.command("rollback")
def undo_promotion(task: Task) -> None:
    """Take a task's trial or last promotion back; a running chat follows at once."""
    undone = rollback(find_task(load_tasks(), task).name, getpass.getuser())
    aside(f"{undone} is no longer in use.")


def _shown(row: BlindRow, left: int) -> str:
    slots = ", ".join(f"{name}: {value}" for name, value in row.slots.items())
    about = f"{left:,} to compare" + f" · {slots}" * bool(slots)
    return f"\n{about}\n{row.text}\n\n[1] {row.first}\n\n[2] {row.second}\n"


def _asked() -> Choice | Literal["undo", "quit"]:
    """What the person says; the end of the input is an end."""
    while True:
        try:
            said = input("Better: 1, 2, or 0 for a tie; z takes back, q ends: ").strip().lower()
        except EOFError:
            print()
            return "quit"
        if said in SAID:
            return SAID[said]


def _found(comparisons: BlindComparisons) -> str:
    compared, left = len(comparisons.winners), comparisons.left
    if not comparisons.rows:
        return "No answers differ: there is nothing to compare."
    preference = comparisons.preference
    if preference is None:
        return f"{compared:,} rows compared, {left:,} left; what is found is said from {LEAST} on."
    return f"{preference}\nby {', '.join(comparisons.people)}; {left:,} rows left"


def _in_place(task: str) -> str:
    return in_place(find_task(load_tasks(), task), finished_adapters(), for_any_task())


def _begin(found: JobFolder) -> None:
    name = found.folder.name
    Jobs().start(name)
    print(name)
    aside(f"It runs beside. `python -m workshop log {name}` shows how far it is.")
