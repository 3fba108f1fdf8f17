"""A run as one self-contained HTML page, and runs, comparisons and routing as text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from evaluation import baseline, plots, record
from evaluation.record import Figure, Outcome, Run

WORST_ROWS = 50  # rows on the page


def write(folder: Path) -> Path:
    """Write report.html into a finished run's folder.

    Returns:
        the page.

    Raises:
        InputError: the folder holds no run.
    """
    run = record.read(folder)
    good = [outcome for outcome in record.outcomes(folder) if outcome.error is None]
    shelf = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined
    )
    shelf.filters["number"], shelf.filters["sentence"] = number, baseline.as_sentence
    page = shelf.get_template("report.html.j2").render(
        run=run, plots=_plots(run, good), worst=worst(run, good)
    )
    file = folder / record.REPORT_FILE
    file.write_text(page, encoding="utf-8")
    return file


def worst(run: Run, outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The rows with the worst scores, worst first."""
    scored = [outcome for outcome in outcomes if outcome.score is not None]
    # A row's perplexity is bad where it is high; every other score where it is low.
    down = run.primary in run.figures and run.figures[run.primary].better == "lower"
    sign = -1 if down else 1
    return sorted(scored, key=lambda one: (sign * (one.score or 0.0), one.line))[:WORST_ROWS]


def number(value: float | int | None) -> str:
    """A number for people: four digits that count; a dash where there is none."""
    if value is None:
        return "–"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.1f}" if abs(value) >= 10 else f"{value:.4g}"


def as_text(run: Run) -> str:
    """The figures of a run, a line each."""
    lines = (
        [f"judged what the chat serves: {run.settings.answered_by}"] if run.settings.served else []
    )
    lines += [f"{name:20} {_with_interval(figure)}" for name, figure in run.figures.items()]
    lines += [f"{name}: {text}" for name, text in run.signatures.items()]
    if run.chosen:
        fitted = run.chosen.temperature
        lines.append(
            f"temperature {number(fitted.value)}: log loss {number(fitted.log_loss_before)} -> "
            f"{number(fitted.log_loss_after)}, calibration error "
            f"{number(fitted.calibration_error_before)} -> {number(fitted.calibration_error_after)}"
        )
    if run.contamination:
        seen = run.contamination
        lines.append(f"seen in training: {len(seen.exact)} exactly, {len(seen.near)} nearly")
        if seen.without:
            lines.append(f"{run.primary} without   {_with_interval(seen.without)}")
    if run.baseline:
        lines.append(baseline.as_sentence(run.baseline))
    if run.cost:
        lines.append(
            f"{number(run.cost.tokens_per_second)} tokens/s, first token after "
            f"{number(run.cost.first_token_median)} s, {number(run.cost.peak_memory_mib)} MiB"
        )
    return "\n".join([*lines, f"{run.failed} of {run.settings.rows} rows failed"])


def comparison_as_text(values: dict[str, Any]) -> str:
    """A comparison: verdict, then a line for each figure, then the cost of both."""
    lines = [
        f"{values['second']} against {values['first']}: {values['verdict']} ({values['primary']})"
    ]
    lines += [f"{one['name']:20} {_difference(one)}" for one in values["compared"]]
    lines.append(f"{values['rows']} rows; {len(values['left_out'])} left out, unanswered by one")
    for name, (was, now) in values["changed"].items():
        lines.append(f"also changed: {name} {was!r} -> {now!r}")
    for side, cost in values["cost"].items():
        if cost:
            costs = ", ".join(f"{name.replace('_', ' ')} {number(v)}" for name, v in cost.items())
            lines.append(f"cost, {side}: {costs}")
    return "\n".join(lines)


def interference_as_text(values: dict[str, Any]) -> str:
    """What an adapter does elsewhere: a line for each figure, the base's trace, a verdict."""
    lines = [f"{values['adapter']}, trained for {values['own'] or 'a task that it does not name'}"]
    for probe in values["probes"]:
        named = f"{probe['name']} ({probe['rows']} rows)"
        for one in probe["compared"]:
            lines.append(f"{named:24} {one['name']:10} {_difference(one)}")
            named = ""
        if probe["changed"]:
            lines.append(f"{'':24} {'changed':10} {_with_interval(Figure(**probe['changed']))}")
        if probe["failures"]:
            first = next(iter(probe["failures"].items()))
            lines.append(
                f"{named:24} {len(probe['failures'])} rows failed, line {first[0]}: {first[1]}"
            )
    lines.append(_trace(values["detached"]))
    for verdict in ("worse", "better", "no difference shown"):
        names = [p["name"] for p in values["probes"] if _verdict_on(p) == verdict]
        lines.append(f"{verdict}: {', '.join(names) or 'none'}")
    return "\n".join(lines)


def _verdict_on(probe: dict[str, Any]) -> str:
    """The verdict on a probe: that of its primary figure."""
    return str(probe["compared"][0]["verdict"]) if probe["compared"] else ""


def _trace(detached: dict[str, Any]) -> str:
    """Whether the adapter left something behind."""
    size = f"{detached['tokens']:,} tokens of {detached['texts']} texts"
    if not detached["identical"]:
        return f"DETACHED, THE BASE IS NOT THE SAME: scores of {size} differ from those before."
    idle = "" if detached["attached_differs"] else "; attached, it changes none of them either"
    return f"detached, the base is bit-identical: {size} score exactly as before{idle}"


def routing_as_text(values: dict[str, Any]) -> str:
    """The router's figures, a line each."""
    named = {"exact plans": values["exact"], "first task": values["first_task"]}
    named["answered unasked"] = values["answered"]
    if values["exact_when_answered"]:
        named["exact when so"] = values["exact_when_answered"]
    named |= {f"kind {name}": figure for name, figure in values["by_kind"].items()}
    named |= {f"language {name}": figure for name, figure in values["by_lang"].items()}
    named["calibration error"] = values["calibration_error"]
    lines = [f"{name:20} {_with_interval(Figure(**figure))}" for name, figure in named.items()]
    for task, counts in values["confusion"].items():
        chosen = ", ".join(f"{name} {count}" for name, count in counts.items())
        lines.append(f"{task:20} went to {chosen}")
    milliseconds = values["milliseconds"]
    lines.append(
        f"{milliseconds['median']} ms a request, {milliseconds['p90']} ms for the slowest tenth"
    )
    return "\n".join(lines)


def _difference(one: dict[str, Any]) -> str:
    """A figure of both runs, their difference and the verdict."""
    of = one["difference"]
    return (
        f"{number(one['first']):>8} -> {number(one['second']):>8}  "
        f"{of['value']:+.4g} ({of['low']:+.4g} to {of['high']:+.4g}), p {of['p']:.3g} "
        f"by {one['test']}: {one['verdict']}"
    )


def _with_interval(figure: Figure) -> str:
    return (
        f"{number(figure.value):>8}  ({number(figure.low)} to {number(figure.high)}, "
        f"{figure.rows:,} rows)"
    )


def _plots(run: Run, good: Sequence[Outcome]) -> list[Markup]:
    scores = [outcome.score for outcome in good if outcome.score is not None]
    drawn = [plots.histogram(scores, run.score_name)] if scores else []
    if run.chosen:
        drawn = [plots.reliability(run.chosen), plots.confusion(run.chosen), *drawn]
    # matplotlib escapes the labels it draws.
    return [Markup(svg) for svg in drawn if svg]
