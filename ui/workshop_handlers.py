"""What the events of the workshop call: each does one thing, and the tab is drawn anew."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence, Set
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
import pandas as pd

from agent.agent import Agent
from agent.feedback.store import Feedback
from core.errors import PatchbayError
from core.statement import Statement
from tasks.label_names import label_of, task_labels
from tasks.rows import layout_of
from tasks.spec import Both, TaskSpec, find_task
from ui.words import phrase, say, show
from ui.workshop_compare import KEYS, draw_compare
from ui.workshop_jobs import draw_judge, draw_train
from ui.workshop_refusal import draw_left_out, draw_refusal
from ui.workshop_review import draw_review
from ui.workshop_view import TABS, View, read_view
from ui.workshop_watch import draw_watch
from workshop.adapters import (
    adapters_of,
    by_task,
    in_place,
    rollback,
    standing,
    task_name,
)
from workshop.blind_comparisons import BlindComparisons
from workshop.collect import of_feedback
from workshop.curves import read_curves
from workshop.exchange import read_annotated
from workshop.intake import own_labels, take_in
from workshop.jobs import Jobs
from workshop.judging import plan_judging
from workshop.order import put_in_order
from workshop.promoting import promote, read_share
from workshop.refusal import Refusal
from workshop.rows import ReviewStore
from workshop.selection import select
from workshop.similar import look_over
from workshop.training import TrainingWish, free_name, learnt_texts, plan_training
from workshop.trials import trials
from workshop.usage import UsageStore
from workshop.watch import Watcher

Done = tuple[View, Both | None]  # what is shown then, and what is said
PLOT_COLUMNS = ["step", "loss", "of"]


class WorkshopHandlers:
    """One for all owners.

    Args:
        by: who asks, for the record.
    """

    def __init__(
        self,
        agent: Agent,
        feedback: Feedback,
        by: Callable[[gr.Request], str],
        store: ReviewStore | None = None,
        jobs: Jobs | None = None,
    ) -> None:
        self.agent, self.feedback, self._by = agent, feedback, by
        self.store, self.jobs = store or ReviewStore(), jobs or Jobs()
        self.watcher = Watcher(UsageStore(), reviewed=self.store.done, feedback=feedback)
        self._drawings = itertools.count()  # tells the page which drawing it shows
        self._acts: dict[str, Callable[[View, Mapping[str, Any], str], Done]] = {
            "look": lambda view, data, by: (view, None),
            "accept": self._accept,
            "decline": self._decline,
            "undo": self._undo,
            "several": self._several,
            "collect": self._collect,
            "leave_out": self._leave_out,
            "take_in": self._leave_out,
            "again": self._review_again,
            "check": self._check,
            "start": self._start,
            "resume": self._start,
            "stop": self._stop,
            "judge": self._judge,
            "compare": self._compare,
            "choose": self._choose,
            "unchoose": self._unchoose,
            "promote": self._promote,
            "try": self._try,
            "rollback": self._rollback,
            "settle": self._settle,
        }

    def act(self, event: gr.EventData, request: gr.Request) -> list[Any]:
        """Do what was asked for, and draw what is shown then."""
        data: dict[str, Any] = event._data if isinstance(event._data, dict) else {}
        view = read_view(data.get("view"))
        said: Both | None = None
        fault: PatchbayError | None = None
        try:
            act = self._acts.get(str(data.get("do")), self._acts["look"])
            view, said = act(view, data, self._by(request))
        except PatchbayError as error:
            fault = error
        return self._drawn(view, said, fault)

    def show(self) -> list[Any]:
        """The page as it opens."""
        return self._drawn(View())

    def _drawn(
        self,
        view: View,
        said: Both | None = None,
        fault: PatchbayError | None = None,
        notes: Sequence[Sequence[Statement]] = (),
    ) -> list[Any]:
        try:
            body = self._tab(view)
        except PatchbayError as error:
            body, fault = "", fault or error
        notice = f'<p class="pb-note" role="status">{show(said)}</p>' if said else ""
        notice += draw_left_out(notes)
        if fault:
            notice += draw_refusal(fault)
        tabs = "".join(
            f'<button type="button" role="tab" class="pb-tab" data-do="look" data-set-tab="{tab}" '
            f'data-set-job="" data-set-compare="" aria-selected="{str(tab == view.tab).lower()}">'
            f"{say(f'tab.{tab}')}</button>"
            for tab in TABS
        )
        shown = escape(json.dumps(view.model_dump(), ensure_ascii=False))
        panel = (
            f'<div class="pb-workshop" data-view="{shown}" data-drawing="{next(self._drawings)}">'
            f'<div role="tablist" class="pb-tablist">{tabs}</div>{notice}'
            f'<div role="tabpanel">{body}</div></div>'
        )
        return [panel, self._plot(view), gr.update(visible=view.tab == "review")]

    def _tab(self, view: View) -> str:
        if view.tab == "review":
            return draw_review(self.store, self.agent.tasks, view)
        if view.tab == "train":
            return self._train_tab(view)
        if view.tab == "judge":
            return self._judge_tab(view)
        return draw_watch(self.watcher.summary(), self.agent.tasks)

    def _train_tab(self, view: View) -> str:
        task = self._task(view)
        return draw_train(
            self.agent.tasks,
            select(self.store, task),
            self._starts(task),
            name=free_name(task.name),
            view=view,
            jobs=self.jobs.of("train", task.name),
        )

    def _judge_tab(self, view: View) -> str:
        if view.compare:
            comparisons = self._comparisons(view.compare)
            return draw_compare(comparisons, self.agent.tasks[comparisons.found.job.task], view.row)
        trained, found = {one.job.adapter for one in self.jobs.of("train")}, by_task()
        candidates = [
            (name, task.name, now)
            for task in self.agent.tasks.values()
            for now in [self._in_place(task)]
            for name in found.get(task.name, ())
            if name in trained and name != now
        ]
        held = {
            task: len(select(self.store, self.agent.tasks[task]).held_out)
            for task in {task for _, task, _ in candidates}
        }
        wanted = self.jobs.of("judge", adapter=view.adapter or None)
        return draw_judge(
            self.agent.tasks,
            candidates[::-1],
            held,
            view=view,
            jobs=wanted or self.jobs.of("judge"),
            training=self.jobs.of("train", adapter=view.adapter)[:1],
            on_trial=trials(self.feedback),
        )

    def _plot(self, view: View) -> Any:
        jobs = self.jobs.of("train", self._task(view).name) if view.tab == "train" else []
        chosen = next(
            (one for one in jobs if one.folder.name == view.job), jobs[0] if jobs else None
        )
        curves = read_curves(chosen.job.adapter) if chosen else None
        if curves is None or not curves.train:
            return gr.update(visible=False)
        lines = [(step, loss, "training") for step, loss in curves.train]
        lines += [(step, loss, "validation") for step, loss in curves.validation]
        return gr.update(visible=True, value=pd.DataFrame(lines, columns=PLOT_COLUMNS))

    def _accept(self, view: View, data: Mapping[str, Any], by: str) -> Done:
        self.store.decide(str(data.get("id", "")), str(data.get("right", "")), by)
        return view.but(row=""), None

    def _decline(self, view: View, data: Mapping[str, Any], by: str) -> Done:
        self.store.decline(str(data.get("id", "")), by)
        return view.but(row=""), None

    def _undo(self, view: View, data: Mapping[str, Any], by: str) -> Done:
        undone = self.store.undo(by)
        return view.but(row=undone or ""), phrase("review.undone" if undone else "review.nothing")

    def _several(self, view: View, data: Mapping[str, Any], by: str) -> Done:
        wanted = {"search": str(data.get("search", "")), "why": data.get("why") or None, "row": ""}
        view = read_view(view.model_dump() | wanted)
        ids = data.get("ids", ())
        for id in [ids] if isinstance(ids, str) else ids:
            row = self.store.get(str(id))
            if data.get("act") == "accept":
                self.store.decide(row.id, row.suggested or row.answer, by)
            elif data.get("act") == "decline":
                self.store.decline(row.id, by)
        return view, None

    def _collect(self, view: View, data: Mapping[str, Any], by: str) -> Done:
        rows = of_feedback(self.feedback, self.agent.tasks).rows
        count = self.store.add(rows)
        return view, self._added(count, {row.task for row in rows if count} | {view.task})

    def _added(self, count: int, tasks: Set[str]) -> Both:
        """Mark and order the rows of tasks that new ones came to, or that are looked at."""
        for task in tasks & self.agent.tasks.keys():
            look_over(self.store, self.agent.tasks[task])
            put_in_order(self.store, task)
        return phrase("review.collected", count=count)

    def _leave_out(self, view: View, data: Mapping[str, Any], by: str) -> Done:
        self.store.leave_out(str(data.get("rater", "")), data.get("do") == "leave_out")
        return view.but(row=""), None

    def _review_again(self, view: View, data: Mapping[str, Any], by: str) -> Done:
        rater = str(data.get("rater", ""))
        count = self.store.review_again(rater, by)
        return view.but(row=""), phrase("raters.waiting", count=count, rater=rater)

    def take_file(self, file: str | None, agreed: bool, shown: str) -> list[Any]:
        """Put the texts of a file into the queue of the task that is shown."""
        view, said = read_view(json.loads(shown or "{}")), None
        fault: PatchbayError | None = None
        notes: list[list[Statement]] = []
        try:
            task = self.agent.tasks.get(view.task)
            if task is None:
                raise Refusal("which", "Choose the skill first that the texts are for.")
            texts, notes = read_annotated(Path(file or ""), task, layout_of({}, task))
            names, answers = task_labels(task), {text.right or text.suggested for text in texts}
            foreign = [one for one in answers - {""} if label_of(one, names) is None]
            own = own_labels(texts, task) if task.labels_slot and foreign else {}
            taken = take_in(self.store, texts, task, slots=own, consent=agreed)
            said = self._added(taken.added, {task.name})
            notes += taken.left_out()
        except PatchbayError as error:
            fault = error
        return [*self._drawn(view, said, fault, notes), None]  # the same file may be taken again

    def _check(self, view: View, data: Mapping[str, Any], by: str) -> Done:
        task = self.agent.tasks.get(str(data.get("task"))) or self._task(view)
        fields = ("name", "start", "epochs", "learning_rate")
        given = {name: data[name] for name in fields if name in data}
        wish = TrainingWish.read({**given, "base": self._base()})
        found = plan_training(self.jobs, select(self.store, task), wish, by)
        self.jobs.start(found.folder.name)
        return view.but(task=task.name, job=found.folder.name), None

    def _start(self, view: View, data: Mapping[str, Any], by: str) -> Done:
        self.jobs.start(str(data.get("job", "")), release=data.get("do") == "start")
        return view.but(job=str(data["job"])), None

    def _stop(self, view: View, data: Mapping[str, Any], by: str) -> Done:
        self.jobs.stop(str(data.get("job", "")))
        return view, None

    def _judge(self, view: View, data: Mapping[str, Any], by: str) -> Done:
        name = str(data.get("adapter", ""))
        task = find_task(self.agent.tasks, task_name(name))
        chosen = select(self.store, task)
        found = plan_judging(self.jobs, chosen, name, in_place=self._in_place(task), by=by)
        self.jobs.start(found.folder.name)
        return view.but(job=found.folder.name, adapter=name), None

    def _comparisons(self, job: str) -> BlindComparisons:
        comparisons = BlindComparisons(self.jobs.get(job))
        comparisons.require(find_task(self.agent.tasks, comparisons.found.job.task))
        return comparisons

    def _compare(self, view: View, data: Mapping[str, Any], by: str) -> Done:
        comparisons = self._comparisons(str(data.get("job", "")))
        row = comparisons.next(by)
        line = str(row.line) if row else ""
        return view.but(compare=comparisons.found.folder.name, row=line, named=""), None

    def _choose(self, view: View, data: Mapping[str, Any], by: str) -> Done:
        choice = next((one for one in KEYS if one == data.get("choice")), None)
        if choice:
            self._comparisons(str(data.get("job", ""))).choose(int(data["id"]), choice, by)
        return self._compare(view, data, by)

    def _unchoose(self, view: View, data: Mapping[str, Any], by: str) -> Done:
        line = self._comparisons(str(data.get("job", ""))).undo(by)
        if line is None:
            return view, phrase("review.nothing")
        return view.but(row=str(line)), phrase("review.undone")

    def _promote(self, view: View, data: Mapping[str, Any], by: str) -> Done:
        found = self.jobs.get(str(data.get("job", "")))
        promote(found, by, str(data.get("why", "")))
        self._learn_reference(found.job.adapter, self.agent.tasks[found.job.task])
        return view, phrase("judge.promoted", adapter=found.job.adapter, task=found.job.task)

    def _try(self, view: View, data: Mapping[str, Any], by: str) -> Done:
        found = self.jobs.get(str(data.get("job", "")))
        share = read_share(str(data.get("share", "")))
        promote(found, by, str(data.get("why", "")), share)
        names = {"adapter": found.job.adapter, "task": found.job.task}
        return view, phrase("judge.tried", share=f"{100 * share:.0f}", **names)

    def _learn_reference(self, adapter: str, task: TaskSpec) -> None:
        """Requests are compared with what the adapter has learnt from then on."""
        event = standing(task.name)
        if event and event.adapter == adapter:
            texts = learnt_texts(self.jobs, adapter, task)
            self.watcher.learn_reference(task.name, event.fingerprint, texts)

    def _rollback(self, view: View, data: Mapping[str, Any], by: str) -> Done:
        undone = rollback(str(data.get("task", "")), by, str(data.get("id") or "") or None)
        return view, phrase("judge.back", adapter=undone)

    def _settle(self, view: View, data: Mapping[str, Any], by: str) -> Done:
        self.watcher.store.settle(int(data["id"]))
        return view, None

    def _task(self, view: View) -> TaskSpec:
        counts = self.store.counts()
        most = max(counts, key=lambda name: counts[name]["done"], default="")
        name = view.task or most
        return self.agent.tasks.get(name) or next(iter(self.agent.tasks.values()))

    def _in_place(self, task: TaskSpec) -> str:
        adapters = self.agent.engine.adapters
        names = adapters.names()
        return in_place(task, names, [name for name in names if adapters.scope(name).any_task])

    def _starts(self, task: TaskSpec) -> list[str]:
        """Adapters of a task that a training can go on from, the one in place first."""
        now, available = self._in_place(task), self.agent.engine.adapters.names()
        found = [name for name in adapters_of(task.name) if name in available]
        return sorted(found, key=lambda name: name != now)

    def _base(self) -> str:
        base = self.agent.engine.fingerprints().get("base", "")
        return "smollm2" if "smollm2" in base.lower() else "starter"
