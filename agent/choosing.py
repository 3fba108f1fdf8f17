"""Choose among labels, and say which words carried the decision."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace

from agent import segments
from agent.events import Event, Highlighted
from agent.step_run import StepRun, finished
from engine.interface import Choice, ChooseRequest

MAX_OCCLUDED = 12  # segments of a text; occlusion costs one forward pass each


def choose(run: StepRun) -> Iterator[Event]:
    """Yield the events of a step that chooses, behind StepStarted."""
    choice = score_labels(run, run.content)
    if choice.usage.stopped != "end":
        yield finished(run, "", [choice.usage])
        return
    labels = probabilities(run, choice)
    best = next(iter(labels))
    yield finished(run, best, [choice.usage], labels)
    if run.turn.explain and not run.turn.stop.is_set():
        weights = list(_occlusion(run, best, labels[best]))
        if not run.turn.stop.is_set():
            yield Highlighted(run.index, weights)


def probabilities(run: StepRun, choice: Choice) -> dict[str, float]:
    """Label as the task names it -> calibrated probability, the likeliest first."""
    chances = calibrated(choice.logprobs, run.calibration.temperature)
    return dict(sorted(chances.items(), key=lambda item: -item[1]))


def score_labels(run: StepRun, content: str) -> Choice:
    """The labels as the task names them, scored for the content, with the adapter's biases."""
    names = run.labels()
    request = ChooseRequest(
        run.messages(content), tuple(names), run.adapter, batch=run.turn.options.batch
    )
    choice = run.engine.choose(request, run.turn.stop)
    named = {names[shown]: value for shown, value in choice.logprobs.items()}
    return replace(choice, logprobs=run.calibration.with_biases(named))


def _occlusion(run: StepRun, best: str, whole: float) -> Iterator[tuple[str, float]]:
    """How far the winning label's probability falls from the `whole` text's without each part."""
    parts = segments.groups(run.content, MAX_OCCLUDED)
    for i, part in enumerate(parts):
        rest = "".join(parts[:i] + parts[i + 1 :]).strip()
        choice = score_labels(run, rest) if rest else None
        if run.turn.stop.is_set():
            return
        if choice is None or choice.usage.stopped != "end":
            yield part, 0.0
        else:
            yield part, whole - probabilities(run, choice)[best]


def calibrated(logprobs: Mapping[str, float], temperature: float = 1.0) -> dict[str, float]:
    """Label probabilities: softmax of log-likelihoods over temperature."""
    top = max(logprobs.values())
    weights = {label: math.exp((value - top) / temperature) for label, value in logprobs.items()}
    total = sum(weights.values())
    return {label: weight / total for label, weight in weights.items()}
