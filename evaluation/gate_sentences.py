"""What the gate says of what it looked at, for readers who are no statisticians.

The Chinese of each sentence stands in the page's words (`ui/statement_words.yaml`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core.sequential import Evidence
from core.statement import Statement, statement
from evaluation.compare import FigureComparison
from evaluation.record import FittedTemperature, Slice


def conditions(changed: Mapping[str, tuple[Any, Any]]) -> list[Statement]:
    """What was not the same in both runs, or that all was."""
    if not changed:
        return [statement("conditions.same", "Base, quantization, task and decoding are the same.")]
    return [
        statement("conditions.differ", "The runs differ in more than the adapter."),
        *(
            statement(
                "conditions.changed",
                "{name}: {before} and {after}.",
                name=name,
                before=repr(before),
                after=repr(after),
            )
            for name, (before, after) in changed.items()
        ),
    ]


def figure(one: FigureComparison, rows: int) -> Statement:
    """A figure of both runs over all rows, and how much of their difference may be chance."""
    return statement(
        "better.figure",
        "{figure} {before} → {after} on {rows} rows: a difference of {difference}, with 95% "
        "confidence between {low} and {high} (p {p}).",
        figure=one.name,
        before=f"{one.first:.4g}",
        after=f"{one.second:.4g}",
        rows=f"{rows:,}",
        difference=f"{one.difference.value:+.3g}",
        low=f"{one.difference.low:+.3g}",
        high=f"{one.difference.high:+.3g}",
        p=f"{one.difference.p:.2g}",
    )


def row_by_row(score: str, evidence: Evidence) -> Statement:
    """The rows' own differences, by the test that holds at all looks."""
    return statement(
        "better.row_by_row",
        "Row by row, in a way that holds however often you look: {figure} {mean} on average over "
        "{rows} rows, between {low} and {high} (each bound is wrong with a chance of at most "
        "{alpha}).",
        figure=score,
        mean=f"{evidence.mean:+.3g}",
        rows=f"{evidence.rows:,}",
        low=f"{evidence.low:+.3g}",
        high=f"{evidence.high:+.3g}",
        alpha=f"{100 * evidence.alpha:.2g}%",
    )


def candidate(number: int) -> Statement:
    """Why the chance above is what it is."""
    return statement(
        "better.candidate",
        "It is candidate {number} to be judged on these rows; each further one has to show a "
        "clearer gain.",
        number=number,
    )


def shown() -> Statement:
    """A gain."""
    return statement("better.shown", "Both ways show a gain.")


def worse() -> Statement:
    """A loss."""
    return statement("better.worse", "It is worse than what is in place.")


def cheaper(tokens: float) -> Statement:
    """No loss, at a lower cost."""
    return statement(
        "better.cheaper",
        "It is not worse than what is in place, and cheaper ({tokens} of its tokens a row).",
        tokens=f"{tokens:.2f}",
    )


def unsure() -> Statement:
    """Neither a gain nor that there is none."""
    return statement("better.unsure", "That is not enough to tell.")


def no_gain(gain: float, margin: float, tokens: float) -> Statement:
    """That there is none, and no lower cost."""
    return statement(
        "better.no_gain",
        "There is no gain of {gain}, nor is it both at most {margin} worse than what is in place "
        "and cheaper ({tokens} of its tokens a row).",
        gain=f"{gain:g}",
        margin=f"{margin:g}",
        tokens=f"{tokens:.2f}",
    )


def no_answer(share: float, most: float) -> Statement:
    """Rows of another pair of runs that the candidate did not answer."""
    return statement(
        "elsewhere.no_answer",
        "{share} of the rows have no answer; at most {most} is allowed.",
        share=f"{share:.1%}",
        most=f"{100 * most:g}%",
    )


def harm(evidence: Evidence, most: float) -> Statement:
    """Whether a loss on other rows is ruled out."""
    loss = f"{most:g}"
    if evidence.answer == "better":
        return statement("elsewhere.harmless", "A loss of {loss} is ruled out.", loss=loss)
    if evidence.answer == "not better":
        return statement("elsewhere.harmful", "It loses more than {loss} there.", loss=loss)
    return statement("elsewhere.unsure", "A loss of {loss} is not ruled out yet.", loss=loss)


def slices(fallen: Sequence[tuple[Slice, float]], looked: int, margin: float) -> list[Statement]:
    """Parts of the rows that do worse than before, with their figure before, or that none does."""
    most = f"{margin:g}"
    if not fallen:
        return [
            statement(
                "slices.fine",
                "None of {count} parts of the rows, by length, language, label or adapter, falls "
                "by more than {most}.",
                count=looked,
                most=most,
            )
        ]
    return [
        statement("slices.worse", "Some parts of the rows fall by more than {most}.", most=most),
        *(_slice(piece, before) for piece, before in fallen),
    ]


def _slice(piece: Slice, before: float) -> Statement:
    change = {"before": f"{before:.4g}", "after": f"{piece.figure.value:.4g}"}
    name = piece.name
    if piece.kind == "language":
        return statement(
            "slices.language", "Language {language}: {before} → {after}.", language=name, **change
        )
    if piece.kind == "label":
        return statement("slices.label", "Label {label}: {before} → {after}.", label=name, **change)
    if piece.kind == "adapter":
        return statement(
            "slices.adapter", "Adapter {adapter}: {before} → {after}.", adapter=name, **change
        )
    bound, _, count = name.removesuffix(" characters").rpartition(" ")
    if bound == "up to":
        return statement(
            "slices.shorter",
            "Texts of up to {count} characters: {before} → {after}.",
            count=count,
            **change,
        )
    return statement(
        "slices.longer",
        "Texts of more than {count} characters: {before} → {after}.",
        count=count,
        **change,
    )


def calibration(fitted: FittedTemperature, most: float) -> Statement:
    """How far the probabilities that it states are from how often it is right."""
    return statement(
        "calibration.error",
        "Its stated confidence is off by {error} on average (at temperature {temperature}); at "
        "most {most} is allowed.",
        error=f"{fitted.calibration_error_after:.3f}",
        temperature=f"{fitted.value:.2f}",
        most=f"{most:g}",
    )


def unanswered(failed: int, rows: int, most: float) -> Statement:
    """Rows that it did not answer."""
    return statement(
        "answers.failed",
        "{failed} of {rows} rows have no answer; at most {most} is allowed.",
        failed=f"{failed:,}",
        rows=f"{rows:,}",
        most=f"{100 * most:g}%",
    )


def empty(share: float, most: float) -> Statement:
    """Written answers without a word."""
    return statement(
        "answers.empty",
        "{share} of the answers are empty; at most {most} is allowed.",
        share=f"{share:.1%}",
        most=f"{100 * most:g}%",
    )


def repetition(share: float, most: float) -> Statement:
    """Written answers that say the same again."""
    return statement(
        "answers.repetition",
        "{share} of the groups of four words repeat an earlier one of their answer (4-grams); at "
        "most {most} is allowed.",
        share=f"{share:.1%}",
        most=f"{most:.0%}",
    )


def contamination(count: int, rows: int, most: float) -> Statement:
    """Rows that it was trained on."""
    return statement(
        "contamination.rows",
        "{count} of {rows} rows occur in its training data; at most {most} is allowed.",
        count=f"{count:,}",
        rows=f"{rows:,}",
        most=f"{100 * most:g}%",
    )


def baseline_missing() -> Statement:
    """It was never trained."""
    return statement(
        "baseline.missing",
        "It was not measured: give the command of the run again, it only adds the baseline.",
    )


def baseline_unbeaten(margin: float) -> Statement:
    """What the adapter lacks beside it."""
    if not margin:
        return statement("baseline.unbeaten", "To pass, the adapter must be shown to beat this.")
    return statement(
        "baseline.unbeaten_by",
        "To pass, the adapter must be shown to beat this by {margin} or more.",
        margin=f"{margin:g}",
    )
