"""Judged rows -> figures: those the task's `metrics` name, slices of the rows, cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from core.errors import TaskError
from evaluation import choice_metrics, text_metrics
from evaluation.choice_metrics import LabelScores
from evaluation.intervals import Statistic, interval
from evaluation.record import ChoiceReport, Cost, Figure, FittedTemperature, Outcome, Slice
from tasks import languages
from tasks.spec import TaskSpec

Builder = Callable[[Sequence[Outcome]], Statistic]
FEW = 10  # a language with fewer rows is counted under `other`


def label_scores(outcomes: Sequence[Outcome]) -> LabelScores:
    """The label scores of choose rows."""
    return LabelScores.of([row.logprobs for row in outcomes], [row.reference for row in outcomes])


def _answers(outcomes: Sequence[Outcome]) -> list[str]:
    return [row.answer for row in outcomes]


def _references(outcomes: Sequence[Outcome]) -> list[str]:
    return [row.reference for row in outcomes]


def _sources(outcomes: Sequence[Outcome]) -> list[str]:
    return [row.text for row in outcomes]


def _targets(outcomes: Sequence[Outcome]) -> list[str]:
    return [row.slots.get("target") or languages.detect(row.reference) for row in outcomes]


def _rouge(place: int) -> Builder:
    return lambda rows: text_metrics.rouge(_answers(rows), _references(rows))[place]


def _perplexity(rows: Sequence[Outcome]) -> Statistic:
    scored = [math.nan if row.log_likelihood is None else row.log_likelihood for row in rows]
    return text_metrics.perplexity(scored, [row.reference_tokens for row in rows])


BUILDERS: dict[str, Builder] = {
    "accuracy": lambda rows: choice_metrics.accuracy(label_scores(rows)),
    "macro_f1": lambda rows: choice_metrics.macro_f1(label_scores(rows)),
    "log_loss": lambda rows: choice_metrics.log_loss(label_scores(rows)),
    "calibration_error": lambda rows: choice_metrics.calibration_error(label_scores(rows)),
    "bleu": lambda rows: text_metrics.bleu(_answers(rows), _references(rows), _targets(rows)),
    "chrf": lambda rows: text_metrics.chrf(_answers(rows), _references(rows)),
    "rouge_1": _rouge(0),
    "rouge_2": _rouge(1),
    "rouge_l": _rouge(2),
    "length_ratio": lambda rows: text_metrics.length_ratio(_answers(rows), _references(rows)),
    "novel_2": lambda rows: text_metrics.novel(_answers(rows), _sources(rows)),
    "unsupported": lambda rows: text_metrics.unsupported(_answers(rows), _sources(rows)),
    "perplexity": _perplexity,
    "distinct_2": lambda rows: text_metrics.distinct(_answers(rows)),
    "repetition": lambda rows: text_metrics.repetition(_answers(rows)),
    "answer_length": lambda rows: text_metrics.answer_length(_answers(rows)),
}
CHOOSING = ["accuracy", "macro_f1", "log_loss", "calibration_error"]
WRITING = ["length_ratio", "novel_2", "distinct_2", "repetition", "answer_length"]


def metric_names(task: TaskSpec) -> list[str]:
    """The figures of a task: its `metrics`, or those of its kind where it names none.

    Raises:
        TaskError: `metrics` names one that there is not, or that the kind cannot have.
    """
    kind = CHOOSING if task.kind == "choose" else [n for n in BUILDERS if n not in CHOOSING]
    strange = [name for name in task.metrics if name not in kind]
    if strange:
        raise TaskError(
            f"{task.name}: metrics: {strange[0]!r} is no figure of a task that "
            f"{'chooses' if task.kind == 'choose' else 'writes'}. Known: {', '.join(kind)}."
        )
    fallback = CHOOSING if task.kind == "choose" else ["rouge_l", "chrf"]
    extra = [] if task.kind == "choose" or "bleu" in task.metrics else WRITING
    return list(dict.fromkeys([*(task.metrics or fallback), *extra]))


def figure(statistic: Statistic, seed: int) -> Figure:
    """The figure with its interval, as records hold it: null where it is undefined."""
    estimate = interval(statistic, seed)
    value, low, high = (
        round(number, 6) if math.isfinite(number) else None
        for number in (estimate.value, estimate.low, estimate.high)
    )
    return Figure(value=value, low=low, high=high, rows=estimate.rows, better=statistic.better)


def score_name(primary: str) -> str:
    """What a row's own score is called: rows have no accuracy, and BLEU is for whole corpora."""
    return {
        "accuracy": "probability of the right label",
        "macro_f1": "probability of the right label",
        "bleu": "chrf",
    }.get(primary, primary)


def score(primary: str, outcome: Outcome) -> float | None:
    """One row's own score, see `score_name`."""
    name = {"accuracy": "log_loss", "macro_f1": "log_loss", "bleu": "chrf"}.get(primary, primary)
    value = float(BUILDERS[name]([outcome]).each()[0])
    if primary in {"accuracy", "macro_f1"}:
        value = math.exp(-value)
    return round(value, 6) if math.isfinite(value) else None


def signatures(outcomes: Sequence[Outcome], named: Sequence[str]) -> dict[str, str]:
    """How scores were made that can be made in several ways; sacrebleu's as it prints them."""
    signed = {}
    if "macro_f1" in named:
        labels = choice_metrics.labels_of_references(label_scores(outcomes))
        signed["macro_f1"] = f"mean over the labels of the references: {', '.join(labels)}"
    if "bleu" in named:
        of_languages = {
            text_metrics.signature(text_metrics.bleu_metric(code))
            for code in set(_targets(outcomes))
        }
        signed["bleu"] = " and ".join(sorted(of_languages))
    if "chrf" in named:
        signed["chrf"] = text_metrics.signature(text_metrics.chrf_metric())
    return signed


def slices(outcomes: Sequence[Outcome], primary: str, seed: int) -> list[Slice]:
    """The primary figure by length, language, label and adapter, where there are several."""
    statistic = BUILDERS[primary](outcomes)
    groups = {"length": _lengths(outcomes), "language": _languages(outcomes)}
    if outcomes[0].logprobs:
        groups["label"] = _references(outcomes)
    groups["adapter"] = [row.adapter for row in outcomes]
    sliced = []
    for kind, values in groups.items():
        by_size = sorted(set(values), key=lambda name: (-values.count(name), name))
        for name in by_size if len(by_size) > 1 else ():
            places = [i for i, value in enumerate(values) if value == name]
            sliced.append(Slice(kind=kind, name=name, figure=figure(statistic.of(places), seed)))
    return sliced


def _lengths(outcomes: Sequence[Outcome]) -> list[str]:
    """Terciles of the texts' lengths in characters."""
    lengths = [len(row.text) for row in outcomes]
    low, high = np.quantile(lengths, [1 / 3, 2 / 3])
    bounds = f"up to {low:.0f}", f"up to {high:.0f}", f"more than {high:.0f}"
    return [f"{bounds[0 if n <= low else 1 if n <= high else 2]} characters" for n in lengths]


def _languages(outcomes: Sequence[Outcome]) -> list[str]:
    """The pair of a translation, else the language of the text; rare ones together."""
    groups = [
        f"{row.slots['source']}-{row.slots['target']}"
        if {"source", "target"} <= set(row.slots)
        else languages.detect(row.text)
        for row in outcomes
    ]
    return [name if groups.count(name) >= FEW else "other" for name in groups]


def choice_report(outcomes: Sequence[Outcome]) -> ChoiceReport:
    """Confusion, per-label figures, reliability and the fitted temperature."""
    scores = label_scores(outcomes)
    fitted = choice_metrics.fit_temperature(scores)
    return ChoiceReport(
        labels=scores.labels,
        per_label=choice_metrics.per_label(scores),
        confusion=choice_metrics.confusion(scores),
        reliability=choice_metrics.reliability(choice_metrics.confidence(scores), scores.right),
        temperature=FittedTemperature(
            value=round(fitted, 4),
            log_loss_before=choice_metrics.log_loss(scores).over_all(),
            log_loss_after=choice_metrics.log_loss(scores, fitted).over_all(),
            calibration_error_before=choice_metrics.calibration_error(scores).over_all(),
            calibration_error_after=choice_metrics.calibration_error(scores, fitted).over_all(),
        ),
    )


def cost(outcomes: Sequence[Outcome], peak_memory_mib: float) -> Cost:
    """Sums and quantiles of what the rows took."""
    seconds, tokens = sum(r.seconds for r in outcomes), sum(r.tokens for r in outcomes)
    waits = [row.first_token for row in outcomes]
    return Cost(
        seconds=round(seconds, 3),
        tokens=tokens,
        tokens_per_second=round(tokens / seconds, 2) if seconds else None,
        first_token_median=round(float(np.median(waits)), 4) if waits else None,
        first_token_90=round(float(np.quantile(waits, 0.9)), 4) if waits else None,
        peak_memory_mib=round(peak_memory_mib, 1),
    )
