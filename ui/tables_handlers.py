"""What the events of the page for tables call. It draws, and the kept tables do the work."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from agent.agent import Agent
from agent.batch.assignment import Assignment, column_in, of_request, of_task
from agent.batch.figures import agreement
from agent.batch.kept import PREVIEW_ROWS, KeptTable, KeptTables
from agent.feedback.store import Feedback, LabelledText
from agent.options import TurnOptions
from core.access import Keys, Visitor
from core.errors import InputError, PatchbayError
from tasks import languages
from ui import tables_draw as draw
from ui.tables_labels import OWN_WORDS, labels_in
from ui.words import phrase

Updates = dict[Any, Any]  # component -> what becomes of it
LISTED = 20  # tables that a browser remembers


class TablesHandlers:
    """One for all visitors. `parts` are the page's components by name."""

    def __init__(
        self, agent: Agent, tables: KeptTables, feedback: Feedback, keys: Keys, address: str
    ) -> None:
        self.agent, self.tables, self.feedback, self.keys = agent, tables, feedback, keys
        self._address = address  # where downloads are
        self.parts: Mapping[str, Any] = {}

    def speak(self, language: str, stored: Any) -> Updates:
        """Every label of the page, in the language of the interface."""
        updates = labels_in("zh" if language == "zh" else "en", self.agent.tasks)
        return {self.parts[name]: update for name, update in updates.items()}

    def upload(self, file: str | None, stored: Any, request: gr.Request) -> Updates:
        """Take a file over."""
        if not file:
            return {self.parts["problem"]: ""}
        try:
            self._count(request)
            kept = self.tables.add(Path(file), Path(file).name, self._owner(request))
        except PatchbayError as error:
            return self._problem(error) | {self.parts["file"]: None}
        listed = [[kept.key, kept.table.name], *_listed(stored)][:LISTED]
        stored = {"open": kept.key, "tables": listed}
        return (
            self._shown(kept)
            | {self.parts["stored"]: stored, self.parts["file"]: None}
            | (self._earlier(stored))
        )

    def show(self, stored: Any, request: gr.Request) -> Updates:
        """What the browser had open, after a reload or a restart too."""
        kept, updates = self._open(stored, request), self._earlier(stored)
        return updates | (self._shown(kept) if kept else self._nothing())

    def switch(self, key: str, stored: Any, request: gr.Request) -> Updates:
        """Another of the visitor's tables."""
        stored = {"open": key or "", "tables": _listed(stored)}
        kept = self._open(stored, request)
        return {self.parts["stored"]: stored} | (self._shown(kept) if kept else self._nothing())

    def forms(self, task: str | None) -> Updates:
        """What must be said beside the task."""
        spec = self.agent.tasks.get(task or "")
        return {
            self.parts["wish"]: gr.update(visible=task == OWN_WORDS),
            self.parts["target"]: gr.update(visible=bool(spec and spec.target_slot)),
            self.parts["labels"]: gr.update(visible=bool(spec and spec.labels_slot)),
        }

    def preview(
        self, column: str, task: str, wish: str, target: str, labels: str, stored: Any,
        request: gr.Request,
    ) -> Updates:  # fmt: skip
        """The first rows' results, before the rest is run."""
        kept = self._open(stored, request)
        if kept is None:
            return self._nothing()
        try:
            visitor = self._count(request)
            spec = self.agent.tasks.get(task or "")
            if spec is None:
                column, assignment = self._written(kept, column, wish.strip())
            else:
                given = {spec.target_slot: target, spec.labels_slot: labels}
                said = {name: v for name, v in given.items() if name and v and v.strip()}
                assignment = of_task(spec, said, self.agent.planner)
            kept.choose(column, assignment, request="" if spec else wish.strip())
            kept.preview(_options(visitor))
        except PatchbayError as error:
            return self._problem(error)
        return self._shown(kept)

    def run(self, stored: Any, request: gr.Request) -> Updates:
        """Run the rest, or go on."""
        kept = self._open(stored, request)
        if kept is None or kept.facts.assignment is None:
            return self._nothing()
        try:
            kept.start(_options(self._count(request)))
        except PatchbayError as error:
            return self._problem(error)
        return self._moved(kept)

    def pause(self, stored: Any, request: gr.Request) -> Updates:
        """Come to rest."""
        return self._halted(stored, request, stopped=False)

    def stop(self, stored: Any, request: gr.Request) -> Updates:
        """Come to rest, with what is finished as the result."""
        return self._halted(stored, request, stopped=True)

    def tick(self, stored: Any, request: gr.Request) -> Updates:
        """How far it is."""
        kept = self._open(stored, request)
        if kept is None:
            return self._nothing()
        return self._moved(kept) if kept.busy else self._shown(kept)

    def order(self, unsure: bool, stored: Any, request: gr.Request) -> Updates:
        """The result in another order."""
        kept = self._open(stored, request)
        return {self.parts["frame"]: draw.result_frame(kept, unsure)} if kept else self._same()

    def grouped(self, column: str | None, stored: Any, request: gr.Request) -> Updates:
        """Labels by another column."""
        kept = self._open(stored, request)
        if kept is None or not column:
            return {self.parts["groups"]: gr.update(visible=False)}
        frame = draw.group_frame(kept, column)
        return {self.parts["groups"]: gr.update(value=frame, visible=True)}

    def judged(self, column: str | None, stored: Any, request: gr.Request) -> Updates:
        """The answers against a column of right labels."""
        kept = self._open(stored, request)
        if kept is None or not column or kept.facts.assignment is None:
            return {self.parts["agreement"]: ""}
        task = self.agent.tasks[kept.facts.assignment.steps[-1].task]
        found = agreement(kept.table, column, kept.results, task=task, labels=kept.labels)
        return {self.parts["agreement"]: draw.draw_agreement(found)}

    def review(self, label: str, train: bool, stored: Any, request: gr.Request) -> Updates:
        """Keep the right label of the row that is shown, and show the next."""
        kept = self._open(stored, request)
        result = draw.next_unsure(kept) if kept else None
        if kept is None or result is None or not label:
            return self._same()
        try:
            kept.correct(result.line, label)
            if train and label != result.text:
                self._train(kept, result.line)
        except PatchbayError as error:
            return self._problem(error)
        return self._reviewed(kept) | {
            self.parts["frame"]: draw.result_frame(kept),
            self.parts["shares"]: draw.share_frame(kept),
        }

    def remove(self, stored: Any, request: gr.Request) -> Updates:
        """Delete the table and all that was made of it."""
        key = str(_read(stored).get("open", ""))
        with suppress(InputError):  # it is gone, as was wished
            self.tables.remove(key, self._owner(request))
        left = {"open": "", "tables": [pair for pair in _listed(stored) if pair[0] != key]}
        return self._nothing() | self._earlier(left) | {self.parts["stored"]: left}

    def _halted(self, stored: Any, request: gr.Request, stopped: bool) -> Updates:
        kept = self._open(stored, request)
        if kept is None:
            return self._nothing()
        kept.halt(stopped)
        return self._same()  # the next tick shows it: a late one would show it running again

    def _written(self, kept: KeptTable, column: str, wish: str) -> tuple[str, Assignment]:
        """The column and what is done with it, by the visitor's words. Raises InputError."""
        if not wish:
            raise InputError(phrase("tables.choose").en)
        named, request = column_in(wish, kept.table.columns)
        column = named or column
        kept.table.require(column)
        texts = (row.text(column) for row in kept.table.rows if row.text(column).strip())
        return column, of_request(request, next(texts, "text"), self.agent.planner)

    def _train(self, kept: KeptTable, line: int) -> None:
        assert kept.facts.assignment
        row = next(row for row in kept.table.rows if row.line == line)
        self.feedback.label(
            LabelledText(
                turn=f"{kept.key}-{line}",
                task=kept.facts.assignment.steps[-1].task,
                text=row.text(kept.facts.column),
                label=kept.corrections[line],
                instead_of=kept.results[line].text,
                fingerprint=kept.results[line].fingerprint,
                slots=kept.facts.assignment.steps[-1].slots,
            )
        )

    def _visitor(self, request: gr.Request) -> Visitor:
        return self.keys.named(request.username, request.client.host if request.client else "")

    def _owner(self, request: gr.Request) -> str:
        """Whose a table is, beside the id that only the browser knows."""
        return self._visitor(request).name if self.keys else ""

    def _count(self, request: gr.Request) -> Visitor:
        visitor = self._visitor(request)
        self.agent.limits.count_request(visitor.name)
        return visitor

    def _open(self, stored: Any, request: gr.Request) -> KeptTable | None:
        key = str(_read(stored).get("open", ""))
        try:
            return self.tables.get(key, self._owner(request)) if key else None
        except PatchbayError:
            return None

    def _same(self) -> Updates:
        return {self.parts["problem"]: ""}

    def _problem(self, error: PatchbayError) -> Updates:
        return {self.parts["problem"]: f'<p class="pb-table-error">{escape(str(error))}</p>'}

    def _earlier(self, stored: Any) -> Updates:
        listed = [(name, key) for key, name in _listed(stored)]
        value = _read(stored).get("open") or None
        update = gr.update(choices=listed, value=value, visible=len(listed) > 1)
        return {self.parts["earlier"]: update}

    def _nothing(self) -> Updates:
        hidden = ("setup", "trial", "progress_part", "outcome")
        return {self.parts[name]: gr.update(visible=False) for name in hidden} | {
            self.parts["problem"]: "",
            self.parts["timer"]: gr.Timer(active=False),
        }

    def _shown(self, kept: KeptTable) -> Updates:
        """All of a table, as far as it is."""
        table, facts = kept.table, kept.facts
        column = facts.column or _likely(kept)
        part = self.parts
        updates: Updates = {
            part["problem"]: "",
            part["source"]: draw.draw_source(kept),
            part["setup"]: gr.update(visible=True),
            part["column"]: gr.update(choices=list(table.columns), value=column),
        }
        if facts.assignment:
            updates |= self._said(facts.request, facts.assignment)
        for name in ("group", "truth"):
            updates[part[name]] = gr.update(choices=[("–", ""), *((c, c) for c in table.columns)])
        if facts.assignment and kept.results:
            updates |= {
                part["trial"]: gr.update(visible=True),
                part["plan"]: draw.draw_plan(kept),
                part["first"]: draw.result_frame(kept, most=PREVIEW_ROWS, brief=True),
            }
        else:
            updates[part["trial"]] = gr.update(visible=False)
        return updates | self._moved(kept) | self._outcome(kept)

    def _said(self, request: str, assignment: Assignment) -> Updates:
        """The forms as the visitor filled them, after a reload too."""
        step, part = assignment.steps[0], self.parts
        if request:
            return {part["task"]: OWN_WORDS, part["wish"]: gr.update(value=request, visible=True)}
        spec = self.agent.tasks[step.task]
        target = spec.target_language(step.slots)
        return {
            part["task"]: step.task,
            part["target"]: gr.update(value=languages.name(target) if target else None),
            part["labels"]: gr.update(value=", ".join(spec.own_labels(step.slots))),
        }

    def _moved(self, kept: KeptTable) -> Updates:
        state, part = kept.state, self.parts
        begun = kept.facts.begun
        return {
            part["progress_part"]: gr.update(visible=begun),
            part["progress"]: draw.draw_progress(kept),
            part["failures"]: draw.draw_failures(kept) if kept.facts.assignment else "",
            part["run"]: gr.update(visible=not begun and state != "finished"),
            part["pause"]: gr.update(visible=kept.busy),
            part["stop"]: gr.update(visible=kept.busy),
            part["resume"]: gr.update(visible=state in {"paused", "stopped", "failed"}),
            part["timer"]: gr.Timer(active=kept.busy),
        }

    def _outcome(self, kept: KeptTable) -> Updates:
        part = self.parts
        there = bool(kept.results) and not kept.busy
        there = there and (kept.facts.begun or kept.state == "finished")
        updates: Updates = {part["outcome"]: gr.update(visible=there)}
        if not there:
            return updates
        chooses = bool(kept.labels)
        updates |= {
            part["downloads"]: draw.draw_downloads(kept, self._address),
            part["frame"]: draw.result_frame(kept),
            part["judgement"]: gr.update(visible=chooses),
        }
        if chooses:
            updates |= {
                part["shares"]: draw.share_frame(kept),
                part["confidence"]: draw.confidence_frame(kept),
            } | self._reviewed(kept)
        return updates

    def _reviewed(self, kept: KeptTable) -> Updates:
        result = draw.next_unsure(kept)
        value = result.text if result else None
        return {
            self.parts["row"]: draw.draw_review(kept, result),
            self.parts["right"]: gr.update(choices=kept.labels, value=value, visible=bool(result)),
            self.parts["keep"]: gr.update(visible=bool(result)),
        }


def _options(visitor: Visitor) -> TurnOptions:
    return TurnOptions(allowed=visitor.allowed, visitor=visitor.name)


def _read(stored: Any) -> dict[str, Any]:
    return stored if isinstance(stored, dict) else {}


def _listed(stored: Any) -> list[list[str]]:
    """(id, name) of the tables that the browser remembers; it may say anything."""
    pairs = _read(stored).get("tables")
    fits: Callable[[Any], bool] = lambda p: isinstance(p, list) and len(p) == 2  # noqa: E731
    return [list(map(str, p)) for p in pairs if fits(p)][:LISTED] if isinstance(pairs, list) else []


def _likely(kept: KeptTable) -> str:
    """The column with the longest texts among the first rows."""
    rows = kept.table.rows[:50]
    return max(kept.table.columns, key=lambda name: sum(len(row.text(name)) for row in rows))
