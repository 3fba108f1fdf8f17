"""`python -m workshop`: the commands of the watch."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from core.terminal import aside
from workshop.alerts import alert_sentence
from workshop.rows import ReviewStore
from workshop.usage import UsageStore
from workshop.watch import Summary, Watched, Watcher

app = typer.Typer()


@app.command()
def watch(
    since: Annotated[str, typer.Option(help="first day, like 2026-11-27")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object")] = False,
) -> None:
    """Show what was answered by day, drift, estimated accuracy and open alerts."""
    summary = Watcher(UsageStore(), reviewed=ReviewStore().done).summary(since)
    if as_json:
        print(json.dumps(asdict(summary), ensure_ascii=False))
    else:
        print("\n".join(_lines(summary)) or "Nothing was answered yet.")


@app.command()
def settle(
    number: Annotated[int, typer.Argument(help="of an alert, as `watch` has it")],
) -> None:
    """Take an alert away; what comes from now on is what later answers are compared with."""
    UsageStore().settle(number)
    aside(f"Alert {number} is settled.")


def _lines(summary: Summary) -> list[str]:
    lines = [f"alert {number}: {alert_sentence(one)}" for number, one in summary.alerts.items()]
    lines += [line for one in summary.watched for line in _answerer(one)]
    lines += [
        f"{day.day}  {day.task}, {day.adapter or 'base'}, {day.language}: {day.answers:,} answers, "
        f"{day.tokens:,} tokens, first token after {day.first_token:.2f} s"
        for day in summary.days
    ]
    lines += [
        f"{day.day}  {day.task}, {day.fingerprint or 'base'}: {day.liked} liked, "
        f"{day.disliked} disliked"
        for day in summary.ratings
    ]
    return lines


def _answerer(watched: Watched) -> list[str]:
    stream, found = watched.stream, watched.accuracy
    lines = [f"{stream.task}, {stream.adapter or 'base'}: {stream.answers:,} answers"]
    if found:
        bound = f", {watched.bound:.3f} was replaced" if watched.bound is not None else ""
        lines.append(
            f"  accuracy about {found.value:.3f} [{found.low:.3f}, {found.high:.3f}] over the last "
            f"{found.answers}, by {found.source}{bound}"
        )
    lines += [
        f"  {one.feature}: distance {one.distance:.2f} over the last {one.window}, by chance up to "
        f"{one.bound:.2f}"
        for one in watched.drift
    ]
    if not watched.drift:
        lines.append("  too few answers to see drift")
    return lines
