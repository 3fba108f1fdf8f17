"""Draw trainings and judgings: what is chosen, how far they are, what came of them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from html import escape

from tasks.spec import Both, TaskSpec
from ui.bars import label_title
from ui.statements import in_both
from ui.words import attributes, duration, say, show
from ui.workshop_trials import draw_trials
from ui.workshop_verdict import draw_verdict
from ui.workshop_view import View
from workshop.adapters import history, standing
from workshop.curves import read_curves
from workshop.jobs import LIVE, JobFolder, State
from workshop.selection import TRAINING, Selection
from workshop.training import TrainingWish, check_report, ended_worse
from workshop.trials import Trial

LINES = re.compile(r"\blines? [\d, …]+|第 [\d, …]+行")
NUMBER = re.compile(r"\d+")
EARLIER_SHOWN = 20


def draw_train(
    tasks: Mapping[str, TaskSpec],
    chosen: Selection,
    starts: Sequence[str],
    name: str,
    view: View,
    jobs: Sequence[JobFolder],
) -> str:
    """The tab for trainings.

    Args:
        chosen: the reviewed rows of the task that is trained.
        starts: adapters that it can go on from, the likeliest first.
        name: for the new adapter.
    """
    task, wish, counts = chosen.task, TrainingWish(), chosen.counts()
    counted = ""
    if labels := counts.get("label"):
        said = ", ".join(
            f"{show(label_title(label, task))} {count}" for label, count in labels.items()
        )
        counted = f'<p class="pb-soft">{say("train.labels")}: {said}</p>'
    options = "".join(f'<option value="{escape(one)}">{escape(one)}</option>' for one in starts)
    options += f'<option value="" {attributes(label="train.nothing")}></option>'
    return f"""{_task_select(tasks, task)}
<p>{say("train.rows", train=len(chosen.training), held=len(chosen.held_out))}</p>{counted}
<form data-do="check" autocomplete="off" class="pb-wish-form">
<input type="hidden" name="task" value="{escape(task.name)}">
<label>{say("train.start")}<select name="start">{options}</select></label>
<label>{say("train.name")}<input name="name" value="{escape(name)}" maxlength="60"></label>
<label>{say("train.epochs")}<input name="epochs" type="number" min="1" max="50" step="1"
 value="{wish.epochs:g}"></label>
<label>{say("train.rate")}<input name="learning_rate" value="{wish.learning_rate:g}"></label>
<p class="pb-acts"><button type="submit" class="pb-chip pb-first">{say("train.check")}</button>
<span class="pb-soft">{_memory()}</span></p></form>
{_jobs(jobs, tasks, view)}"""


def draw_judge(
    tasks: Mapping[str, TaskSpec],
    candidates: Sequence[tuple[str, str, str]],
    held: Mapping[str, int],
    view: View,
    jobs: Sequence[JobFolder],
    training: Sequence[JobFolder],
    on_trial: Sequence[Trial],
) -> str:
    """The tab for judgings.

    Args:
        candidates: adapter, its task, the adapter in place of that task ("" is the bare base).
        held: task -> reviewed rows kept to judge on.
        training: of the adapter that is asked about, if a job trained it.
    """
    if not candidates:
        body = f'<p class="pb-note">{say("judge.all" if jobs else "judge.none")}</p>'
    else:
        options = "".join(
            f'<option value="{escape(one)}"{" selected" if one == view.adapter else ""}>'
            f"{escape(one)} ({escape(task)}: {escape(now or 'base')}, {held.get(task, 0)})</option>"
            for one, task, now in candidates
        )
        body = f"""<form data-do="judge" autocomplete="off" class="pb-wish-form">
<label class="pb-wide">{say("judge.adapter")}<select name="adapter">{options}</select></label>
<p class="pb-acts"><button type="submit" class="pb-chip pb-first">{say("judge.run")}</button></p>
</form>"""
    origin = _origin(view.adapter, training)
    return f"{draw_trials(on_trial)}{body}{origin}{_jobs(jobs, tasks, view)}{_history(tasks)}"


def _origin(adapter: str, training: Sequence[JobFolder]) -> str:
    """Where the adapter that is asked about comes from."""
    if not adapter:
        return ""
    name = f"<b>{escape(adapter)}</b>"
    if not training:
        return f'<p>{name}: <a href="../adapters/">{say("judge.elsewhere")}</a></p>'
    job = training[0].job
    return (
        f"<p>{name}: {say('judge.trained', rows=len(job.rows), by=job.by, at=_time(job.at))} "
        f'<button type="button" class="pb-plain" data-do="look" data-set-tab="train" '
        f'data-set-task="{escape(job.task)}" data-set-job="{escape(job.id)}">'
        f"{say('judge.training')}</button></p>"
    )


def _task_select(tasks: Mapping[str, TaskSpec], task: TaskSpec) -> str:
    chips = "".join(
        f'<button type="button" class="pb-chip" data-do="look" data-set-task="{escape(name)}" '
        f'aria-pressed="{str(name == task.name).lower()}">{show(one.title)}</button>'
        for name, one in tasks.items()
    )
    return f'<p class="pb-acts">{chips}</p>'


def _memory() -> str:
    try:
        size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows says it another way
        return ""
    return say("train.memory", memory=f"{size / 1e9:.0f}")


def _jobs(jobs: Sequence[JobFolder], tasks: Mapping[str, TaskSpec], view: View) -> str:
    """The job that is looked at, and the earlier ones."""
    if not jobs:
        return ""
    chosen = next((one for one in jobs if one.folder.name == view.job), jobs[0])
    items = "".join(
        f'<li><button type="button" class="pb-plain" data-do="look" '
        f'data-set-job="{escape(one.folder.name)}">{_title(one)}</button> <span class="pb-soft">'
        f"{say(f'job.status.{one.state.status}')}, {escape(_time(one.job.at))}</span></li>"
        for one in jobs[:EARLIER_SHOWN]
        if one is not chosen
    )
    earlier = (
        f'<details class="pb-earlier-jobs"><summary>{say("job.earlier")}</summary>'
        f"<ul>{items}</ul></details>"
    )
    return _job(chosen, tasks, view) + (earlier if items else "")


def _time(at: str) -> str:
    """A time in UTC as people read it."""
    return at[:16].replace("T", " ")


def _title(found: JobFolder) -> str:
    job = found.job
    if job.kind == "train":
        return say("job.train", adapter=job.adapter)
    if job.in_place:
        return say("job.judge", adapter=job.adapter, in_place=job.in_place)
    return f"{escape(job.adapter)} · {say('job.base')}"


def _job(found: JobFolder, tasks: Mapping[str, TaskSpec], view: View) -> str:
    job, state = found.job, found.state
    live = "true" if state.status in LIVE else "false"
    judged = job.kind == "judge"
    body = draw_verdict(found, tasks.get(job.task), view) if judged else _training(found, state)
    log = f"<pre>{escape(found.log())}</pre>"
    shown = f'<details class="pb-log"><summary>{say("job.log")}</summary>{log}</details>'
    if job.kind == "train" and state.status == "ready":
        shown = _findings(found)
    return f"""<section class="pb-facts pb-job" data-live="{live}" data-job="{escape(job.id)}">
<h3>{_title(found)}</h3><p role="status" class="pb-soft">{say(f"job.status.{state.status}")} ·
{say("job.rows", count=len(job.rows))} · {escape(job.by)}, {escape(_time(job.at))}</p>
{_problem(state)}{body}<p class="pb-acts">{_acts(found, state)}</p>{shown}</section>"""


def _problem(state: State) -> str:
    """Why a job failed: what we say of it, or the last words of its command."""
    if not state.problem:
        return ""
    said = f"{say('job.ended')}: <code>{escape(state.problem)}</code>"
    if state.statement:
        said = show(in_both([state.statement]))
    return f'<p class="pb-table-error" role="alert">{said}</p>'


def _acts(found: JobFolder, state: State) -> str:
    """What can be done with a job now."""
    name = escape(found.folder.name)
    job = found.job
    acts = []
    if state.status in LIVE:
        acts.append(("stop", "job.stop", ""))
    elif state.status == "ready":
        acts.append(("start", "train.run", " pb-first"))
    elif state.status in {"stopped", "interrupted", "failed"}:
        acts.append(("resume", "job.resume", ""))
    elif job.kind == "train":
        return (
            f'<button type="button" class="pb-chip pb-first" data-do="look" data-set-tab="judge" '
            f'data-set-adapter="{escape(job.adapter)}" data-set-job="">{say("train.next")}</button>'
        )
    return "".join(
        f'<button type="button" class="pb-chip{look}" data-do="{do}" data-job="{name}">'
        f"{say(words)}</button>"
        for do, words, look in acts
    )


def _training(found: JobFolder, state: State) -> str:
    curves = read_curves(found.job.adapter)
    worse = ended_worse(found) if state.status == "finished" else None
    warning = (
        f'<p class="pb-warn" role="note">{show(in_both([worse]))} {say("train.kept")}</p>'
        if worse
        else ""
    )
    if not curves.step and not curves.validation:
        return warning
    pace = ""
    if curves.steps and state.status == "running":
        left = duration(curves.seconds_left) if curves.seconds_left is not None else "…"
        rate = f"{curves.rows_per_second:.1f}"
        said = say("train.pace", step=curves.step, steps=curves.steps, left=left, rows=rate)
        pace = f'<progress max="{curves.steps}" value="{curves.step}"></progress><p>{said}</p>'
    samples = "".join(
        f"<li>{' → '.join(f'<span dir=auto>{escape(one)}</span>' for one in answers)}</li>"
        for answers in curves.samples.values()
    )
    shown = f"<h4>{say('train.samples')}</h4><ul>{samples}</ul>" if samples else ""
    return f'<div class="pb-progress">{pace}</div>{warning}{shown}'


def _findings(found: JobFolder) -> str:
    """What `finetune check` said, with links to the rows that it names."""
    lines = [in_both(line) for line in check_report(found)]
    estimate = next((line for line in lines if line.en.startswith("estimate:")), Both(en="", zh=""))
    rows = found.folder / TRAINING
    records = rows.read_text(encoding="utf-8").splitlines() if rows.is_file() else []
    items = "".join(
        f'<li id="pb-line-{number}" dir="auto">{escape(line)}</li>'
        for number, line in enumerate(records, 1)
    )
    reported = _reported(lines)
    linked = LINES.sub(
        lambda part: NUMBER.sub(r'<a href="#pb-line-\g<0>">\g<0></a>', part[0]), show(reported)
    )
    return (
        f'<p class="pb-estimate">{show(estimate)} <span class="pb-soft">{_memory()}</span></p>'
        f'<div class="pb-log"><pre>{linked}</pre></div>'
        f'<details class="pb-log"><summary>{say("train.file")}</summary><ol>{items}</ol></details>'
    )


def _reported(lines: Sequence[Both]) -> Both:
    """Of what the check said, what is about the reviewed rows."""
    begin = next((n for n, line in enumerate(lines) if line.en.startswith("reviewed rows")), 0)
    end = next((n for n in range(begin + 1, len(lines)) if not lines[n].en.startswith(" ")), None)
    about = lines[begin:end]
    return Both(en="\n".join(one.en for one in about), zh="\n".join(one.zh for one in about))


def _history(tasks: Mapping[str, TaskSpec]) -> str:
    events = history()
    if not events:
        return ""
    items = "".join(
        "<li>"
        + say(
            f"judge.event.{event.action}",
            at=_time(event.at),
            adapter=event.adapter,
            task=event.task,
            by=event.evidence.get("by", ""),
        )
        + "</li>"
        for event in events
    )
    buttons = "".join(
        f'<button type="button" class="pb-chip" data-do="rollback" data-task="{escape(name)}" '
        f'data-id="{escape(event.fingerprint)}">'
        f"{say('judge.rollback')}: {escape(event.adapter)}</button>"
        for name in tasks
        if (event := standing(name))
    )
    return (
        f'<section class="pb-facts"><h3>{say("judge.history")}</h3><ul>{items}</ul>'
        f'<p class="pb-acts">{buttons}</p></section>'
    )
