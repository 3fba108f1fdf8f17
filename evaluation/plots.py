"""Plots of a run as inline SVG whose ink is the colour of the text around it, light or dark."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from evaluation.record import ChoiceReport

INK, FILL = "#010203", "#040506"  # stand for colours that the page's style decides
MOST_PLOTTED_LABELS = 30  # a larger confusion matrix cannot be read


def reliability(chosen: ChoiceReport) -> str:
    """Share right against mean probability, one dot a bin, its size the rows in it."""

    def draw(axes: Axes) -> None:
        bins = chosen.reliability
        most = max(one["rows"] for one in bins)
        axes.plot([0, 1], [0, 1], color=INK, linewidth=0.6, linestyle=":")
        axes.plot([one["confidence"] for one in bins], [one["right"] for one in bins], color=FILL)
        axes.scatter(
            [one["confidence"] for one in bins],
            [one["right"] for one in bins],
            s=[8 + 90 * one["rows"] / most for one in bins],
            color=FILL,
            clip_on=False,
        )
        axes.set(xlim=(0, 1.02), ylim=(0, 1.02), xlabel="probability", ylabel="share right")

    return _svg(draw, "Reliability")


def histogram(scores: Sequence[float], name: str) -> str:
    """How many rows have which score."""

    def draw(axes: Axes) -> None:
        axes.hist(scores, bins=20, color=FILL)
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(xlabel=name, ylabel="rows")

    return _svg(draw, "Scores of the rows")


def confusion(chosen: ChoiceReport) -> str:
    """Counts, a line for each right label; empty for too many labels."""
    labels = chosen.labels
    if len(labels) > MOST_PLOTTED_LABELS:
        return ""

    def draw(axes: Axes) -> None:
        for i, row in enumerate(chosen.confusion):
            total = sum(row) or 1
            for j, count in enumerate(row):
                if count:
                    axes.add_patch(_square(j, i, 0.9 * count / total))
                    axes.text(j, i, str(count), ha="center", va="center", color=INK, fontsize=8)
        bounds = -0.5, len(labels) - 0.5
        axes.set(xlim=bounds, ylim=bounds[::-1], xlabel="chosen", ylabel="right")
        axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right")
        axes.set_yticks(range(len(labels)), labels)

    side = 2.4 + 0.35 * len(labels)
    return _svg(draw, "Confusion", (side + 1, side))


def _square(column: int, row: int, strength: float) -> Rectangle:
    return Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=FILL, alpha=strength, linewidth=0)


def _svg(draw: Callable[[Axes], None], title: str, size: tuple[float, float] = (4.6, 3.2)) -> str:
    # Text stays text, so that Chinese labels need no font here; a fixed salt makes the same file
    # of the same numbers.
    inks = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
    style: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "evaluation", "font.size": 9}
    with mpl.rc_context(style | dict.fromkeys(inks, INK)):
        figure = Figure(figsize=size, layout="constrained")
        figure.patch.set_alpha(0)
        axes = figure.subplots()
        axes.patch.set_alpha(0)
        axes.spines[["top", "right"]].set_visible(False)
        draw(axes)
        file = io.StringIO()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing from font")  # the reader's has it
            figure.savefig(
                file, format="svg", metadata={"Date": None, "Creator": None, "Title": title}
            )
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor").replace(FILL, "var(--fill)")
    # Identifiers must not clash with those of other plots on the page.
    mark = re.sub(r"\W", "", title)
    return re.sub(r'(id="|url\(#|href="#)', rf"\g<1>{mark}-", svg)
