"""Draw the watch: alerts, each answerer with its drift and estimated accuracy, answers by day."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from tasks.spec import TaskSpec
from ui.words import say, show
from workshop.alerts import AccuracyAlert, Alert
from workshop.watch import Summary, Watched

DAYS_SHOWN = 60  # lines


def draw_watch(summary: Summary, tasks: Mapping[str, TaskSpec]) -> str:
    """The tab."""
    if not summary.days and not summary.alerts:
        return f'<p class="pb-note">{say("watch.none")}</p>'
    alerts = "".join(_alert(number, one, tasks) for number, one in summary.alerts.items())
    return (
        (alerts or f'<p class="pb-note" role="status">{say("watch.quiet")}</p>')
        + "".join(_watched(one, tasks) for one in summary.watched)
        + _days(summary, tasks)
    )


def _alert(number: int, alert: Alert, tasks: Mapping[str, TaskSpec]) -> str:
    who = {"task": _title(alert.task, tasks), "adapter": alert.adapter or "base"}
    if isinstance(alert, AccuracyAlert):
        key = "watch.alert.rolled" if alert.rolled_back else "watch.alert.accuracy"
        value, bound = f"{alert.estimate:.0%}", f"{alert.bound:.0%}"
    else:
        key, value, bound = f"watch.alert.{alert.feature}", "", ""
    said = say(key, value=value, bound=bound, requests=alert.requests, adapter=who["adapter"])
    return (
        f'<div class="pb-table-error" role="alert"><p><b>{who["task"]}</b>, {escape(alert.at)}: '
        f"{said}</p>"
        f'<p class="pb-acts"><button type="button" class="pb-chip" data-do="settle" '
        f'data-id="{number}">{say("watch.settle")}</button></p></div>'
    )


def _watched(one: Watched, tasks: Mapping[str, TaskSpec]) -> str:
    facts = [say("watch.answers", count=one.stream.answers)]
    if found := one.accuracy:
        facts.append(
            say(
                "watch.accuracy",
                value=f"{found.value:.0%}",
                low=f"{found.low:.0%}",
                high=f"{found.high:.0%}",
                answers=found.answers,
            )
        )
        facts.append(say(f"watch.source.{found.source.replace(' ', '-')}", rows=found.labelled))
    if one.bound is not None:
        facts.append(say("watch.bound", bound=f"{one.bound:.0%}"))
    items = "".join(
        f"<li>{say(f'watch.feature.{found.feature}')}: {found.distance:.2f} "
        f'<span class="pb-soft">{say("watch.chance", bound=f"{found.bound:.2f}")}</span></li>'
        for found in one.drift
    )
    drift = f"<h4>{say('watch.drift')}</h4><ul>{items}</ul>" if items else ""
    lines = "".join(f"<p>{fact}</p>" for fact in facts)
    return (
        f'<section class="pb-facts"><h3>{_title(one.stream.task, tasks)}: '
        f"{_adapter(one.stream.adapter)}</h3>{lines}{drift}</section>"
    )


def _days(summary: Summary, tasks: Mapping[str, TaskSpec]) -> str:
    rated = {(one.day, one.task, one.fingerprint): one for one in summary.ratings}
    heads = "".join(
        f"<th>{say(f'watch.day.{name}')}</th>"
        for name in ("day", "task", "adapter", "language", "answers", "tokens", "first", "ratings")
    )
    rows = ""
    for one in summary.days[:DAYS_SHOWN]:
        rating = rated.get((one.day, one.task, one.fingerprint))
        cells = (
            escape(one.day),
            _title(one.task, tasks),
            _adapter(one.adapter),
            escape(one.language),
            f"{one.answers:,}",
            f"{one.tokens:,}",
            f"{one.first_token:.2f} s",
            f"+{rating.liked} −{rating.disliked}" if rating else "",
        )
        rows += "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
    return (
        f'<div class="pb-scroll"><table><thead><tr>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _title(task: str, tasks: Mapping[str, TaskSpec]) -> str:
    return show(tasks[task].title) if task in tasks else escape(task)


def _adapter(name: str) -> str:
    return escape(name) if name else say("job.base")
