"""What the page for tables shows of one: HTML, and frames for Gradio's tables and plots."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from html import escape
from typing import Any

import pandas as pd

from agent.batch.assignment import said
from agent.batch.figures import Agreement, shares
from agent.batch.journal import RowResult
from agent.batch.kept import KeptTable
from agent.batch.output import merged
from agent.batch.table import TableRow
from ui.statements import in_both
from ui.words import duration, say, show

SHOWN_ROWS = 1000  # of the result, in the page
SHOWN_FAILURES = 50
GROUPS = 24  # bars side by side that can still be read
BINS = 10  # of the histogram of confidence
MOSTLY = 0.8  # of a column's cells that are dates, for it to be one of dates


def draw_source(kept: KeptTable) -> str:
    """Name, size and notes of a table."""
    table = kept.table
    size = say("tables.rows", rows=f"{len(table.rows):,}", columns=len(table.columns))
    notes = "".join(f"<p>{show(in_both([note]))}</p>" for note in table.notes)
    return f'<p class="pb-source"><b dir="auto">{escape(table.name)}</b> {size}</p>{notes}'


def draw_plan(kept: KeptTable) -> str:
    """What is done with which column."""
    assert kept.facts.assignment
    return (
        f'<p class="pb-plan">{escape(said(kept.facts.assignment))} · '
        f'<b dir="auto">{escape(kept.facts.column)}</b></p>'
    )


def draw_progress(kept: KeptTable) -> str:
    """How far it is, with the time left."""
    if kept.facts.assignment is None:
        return ""
    progress, state = kept.progress, kept.state
    parts = [say("tables.done", done=f"{progress.done:,}", total=f"{progress.total:,}")]
    if progress.failed:
        parts.append(say("tables.failed", failed=f"{progress.failed:,}"))
    if state == "running" and progress.rows_per_second:
        parts.append(say("tables.rate", rate=f"{progress.rows_per_second:.1f}"))
    if state == "running" and progress.seconds_left:
        parts.append(say("progress.left", left=duration(progress.seconds_left)))
    error = f'<p class="pb-table-error">{escape(kept.error)}</p>' if kept.error else ""
    return f"""<div class="pb-progress" data-state="{state}">
<p role="status">{say(f"tables.state.{state}", position=kept.position)}</p>
<progress max="{progress.total}" value="{progress.done}"></progress>
<p>{" · ".join(parts)}</p>{error}</div>"""


def draw_failures(kept: KeptTable) -> str:
    """The rows without an answer, each with its reason."""
    failed = sorted((r for r in kept.results.values() if r.error), key=lambda r: r.line)
    if not failed:
        return ""
    items = "".join(
        f"<li>{say('tables.failures.line', line=one.line)}: {escape(one.error)}</li>"
        for one in failed[:SHOWN_FAILURES]
    )
    more = len(failed) - SHOWN_FAILURES
    rest = f"<li>{say('tables.failures.more', count=f'{more:,}')}</li>" if more > 0 else ""
    return (
        f'<details class="pb-failures" open><summary>{say("tables.failures")} ({len(failed):,})'
        f"</summary><ul>{items}{rest}</ul></details>"
    )


def draw_downloads(kept: KeptTable, address: str) -> str:
    """Links to the result in each format."""
    links = " ".join(
        f'<a href="{address}/{kept.key}{suffix}" download>{suffix[1:].upper()}</a>'
        for suffix in (".csv", ".xlsx", ".jsonl")
    )
    shown = ""
    if len(kept.results) > SHOWN_ROWS:
        total = f"{len(kept.results):,}"
        shown = f"<p>{say('tables.shown', shown=f'{SHOWN_ROWS:,}', total=total)}</p>"
    return (
        f'<p class="pb-downloads">{say("tables.download")}: {links}</p>'
        f'{shown}<p class="pb-soft">{say("tables.neutralized")}</p>'
    )


def result_frame(
    kept: KeptTable, unsure_first: bool = False, most: int = SHOWN_ROWS, brief: bool = False
) -> Any:
    """The finished rows with their results, for Gradio's table; `brief` without how they came."""
    results, names = kept.corrected(), kept.columns
    lines = [row.line for row in kept.table.rows if row.line in results]
    rows = [
        cells
        for row, cells in zip(kept.table.rows, merged(kept.table, results, names), strict=True)
        if row.line in results
    ]
    if unsure_first and "confidence" in names:
        order = sorted(range(len(rows)), key=lambda i: (rows[i][names["confidence"]] or 0, i))
        rows, lines = [rows[i] for i in order], [lines[i] for i in order]
    # Results first: they are what is looked for, and a phone shows two columns.
    shown = [kept.facts.column, *names.values()]
    shown += [name for name in kept.table.columns if name != kept.facts.column]
    if brief:
        parts = [names[part] for part in ("text", "confidence", "adapter", "note") if part in names]
        shown = [kept.facts.column, *parts]
    frame = pd.DataFrame([[row[name] for name in shown] for row in rows[:most]], columns=shown)
    return frame.astype(object).where(frame.notna(), "")


def share_frame(kept: KeptTable) -> Any:
    """Rows by label."""
    counted = shares(kept.corrected().values())
    return pd.DataFrame({"label": list(counted), "rows": list(counted.values())})


def confidence_frame(kept: KeptTable) -> Any:
    """Rows by the probability of the label that was chosen."""
    found = [max(r.labels.values()) for r in kept.results.values() if r.labels]
    counted = Counter(min(int(value * BINS), BINS - 1) for value in found)
    bins = [f"{i / BINS:.0%}–{(i + 1) / BINS:.0%}" for i in range(BINS)]
    return pd.DataFrame({"confidence": bins, "rows": [counted[i] for i in range(BINS)]})


def group_frame(kept: KeptTable, column: str) -> Any:
    """Rows by label and by a column's values, or months where it holds dates."""
    results = kept.corrected()
    rows = [row for row in kept.table.rows if row.line in results and not results[row.line].error]
    value = _month if _are_dates(rows, column) else _text
    pairs = Counter((value(row, column), results[row.line].text) for row in rows)
    sizes = Counter(dict[str, int]())
    for (group, _), count in pairs.items():
        sizes[group] += count
    kept_groups = sorted(group for group, _ in sizes.most_common(GROUPS))
    table = [
        (group, label, count)
        for group in kept_groups
        for (of, label), count in sorted(pairs.items())
        if of == group
    ]
    return pd.DataFrame(table, columns=["group", "label", "rows"])


def draw_agreement(found: Agreement | None) -> str:
    """Accuracy with its interval, and the confusion matrix."""
    if found is None:
        return f"<p>{say('tables.incomparable')}</p>"
    line = say(
        "tables.accuracy",
        accuracy=f"{found.accuracy:.1%}",
        rows=f"{found.rows:,}",
        low=f"{found.low:.1%}",
        high=f"{found.high:.1%}",
    )
    skipped = say("tables.skipped", skipped=f"{found.skipped:,}") if found.skipped else ""
    labels = sorted({label for pair in found.confusion for label in pair})
    head = "".join(f"<th>{escape(label)}</th>" for label in labels)
    body = "".join(
        f"<tr><th>{escape(right)}</th>"
        + "".join(f"<td>{found.confusion.get((right, answer), 0):,}</td>" for answer in labels)
        + "</tr>"
        for right in labels
    )
    return f"""<p>{line} {skipped}</p><table class="pb-confusion">
<caption>{say("tables.confusion")}</caption><tr><td></td>{head}</tr>{body}</table>"""


def next_unsure(kept: KeptTable) -> RowResult | None:
    """The least certain row that the visitor has not looked at yet."""
    corrections = kept.corrections
    left = (
        result
        for result in kept.results.values()
        if result.labels and result.line not in corrections
    )
    return min(left, key=lambda result: (max(result.labels.values()), result.line), default=None)


def draw_review(kept: KeptTable, result: RowResult | None) -> str:
    """A row to look at, and how many were."""
    corrections, results = kept.corrections, kept.results
    changed = sum(
        1 for line, label in corrections.items()
        if line in results and results[line].text != label
    )  # fmt: skip
    count = say(
        "tables.review.count",
        reviewed=f"{len(corrections):,}",
        total=f"{sum(1 for r in results.values() if r.labels):,}",
        changed=f"{changed:,}",
    )
    if result is None:
        return f"<p>{say('tables.review.done')} {count}</p>"
    row = next(row for row in kept.table.rows if row.line == result.line)
    sure = say(
        "tables.review.sure",
        line=result.line,
        label=result.text,
        confidence=f"{max(result.labels.values()):.0%}",
    )
    text = escape(row.text(kept.facts.column))
    return f'<p class="pb-soft">{count}</p><p>{sure}</p><blockquote dir="auto">{text}</blockquote>'


def _are_dates(rows: list[TableRow], column: str) -> bool:
    texts = [row.text(column) for row in rows if row.text(column).strip()]
    dated = sum(1 for text in texts if _date(text) is not None)
    return bool(texts) and dated >= MOSTLY * len(texts)


def _date(text: str) -> datetime | None:
    try:
        return (
            datetime.fromisoformat(text.strip().replace("/", "-"))
            if "-" in text or "/" in text
            else None
        )
    except ValueError:
        return None


def _month(row: TableRow, column: str) -> str:
    date = _date(row.text(column))
    return f"{date:%Y-%m}" if date else "–"


def _text(row: TableRow, column: str) -> str:
    return row.text(column).strip()[:40] or "–"
