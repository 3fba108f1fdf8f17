"""The schema of run.json and of the lines of rows.jsonl."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.errors import InputError
from core.statement import Statement

RUN_FILE, ROWS_FILE, REPORT_FILE = "run.json", "rows.jsonl", "report.html"
BASELINE_FILE = "baseline.jsonl"
WRITING = f".{RUN_FILE}.writing"  # half a record, where a run was killed as it wrote it
Verdict = Literal["better", "worse", "no difference shown"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Outcome(_Strict):
    """One judged row: a line of rows.jsonl."""

    model_config = ConfigDict(populate_by_name=True)

    line: int = Field(description="line of the data file")
    text: str = Field(description="what was given to the task")
    reference: str = Field(description="the right answer")
    slots: dict[str, str] = Field({}, description="slot values of the prompt, like languages")
    adapter: str = Field(
        "", description="what answered, where the chat's own choice is judged; `base` is the base"
    )
    answer: str = Field("", description="the text written, or the label chosen")
    logprobs: dict[str, float] = Field({}, description="label -> natural log-likelihood")
    log_likelihood: float | None = Field(
        None, description="of the whole reference with its end, in nats", alias="likelihood"
    )
    reference_tokens: int = Field(0, description="tokens of the reference, where it was scored")
    score: float | None = Field(None, description="the row's own figure, see `score_name`")
    tokens: int = Field(0, description="tokens made; of a choice, tokens scored")
    seconds: float = Field(0.0, description="from request to answer")
    first_token: float = Field(0.0, description="seconds to the first token")
    error: str | None = Field(None, description="why there is no answer; then nothing else counts")


class Figure(_Strict):
    """A figure with its 95% bootstrap interval."""

    value: float | None
    low: float | None
    high: float | None
    rows: int
    better: Literal["higher", "lower", "neither"] = "higher"


class Served(_Strict):
    """An adapter's part in a run that judges what the chat serves."""

    rows: int = Field(description="rows that it answers")
    fingerprint: str | None = Field(description="of the adapter; null is the bare base")


class RunSettings(_Strict):
    """What decides the outcome. A folder can be gone on with only if all of it is the same."""

    task: str = Field(description="fingerprint of the task: prompt, labels, slots, decoding")
    task_name: str
    task_version: int
    metrics: list[str] = Field(description="figures asked for; the first is the primary one")
    adapter: str | None = Field(
        description="adapter id; null is the bare base, or several adapters, which `served` names"
    )
    served: dict[str, Served] = Field(
        {},
        description="where the chat's own choice is judged: adapter id, or `base` -> its part",
        exclude_if=lambda served: not served,
    )
    fingerprints: dict[str, str] = Field(description="base, revision, quantization, adapter")
    decoding: dict[str, float] = Field(description="how answers are drawn")
    seed: int = Field(description="of the rows drawn, of decoding and of the resamples")
    data: str = Field(description="name of the data file")
    sha256: str = Field(description="of the data file")
    columns: dict[str, str] = Field(description="file column -> role, where given")
    fills: dict[str, str] = Field(
        {},
        description="slot -> value for all rows, where given",
        exclude_if=lambda fills: not fills,
    )
    answers: dict[str, str] = Field(
        {},
        description="answer in the file -> the one that is meant, where given",
        exclude_if=lambda answers: not answers,
    )
    form: dict[str, str] = Field(
        {},
        description="encoding, delimiter and sheet of the file, where given",
        exclude_if=lambda form: not form,
    )
    labels: str = Field(
        description="own label list by comma, 'drawn', 'row', or empty for the task's"
    )
    limit: int | None
    reverse: bool
    rows: int = Field(description="rows judged")

    @property
    def bare(self) -> bool:
        """Whether the bare base answers every row."""
        return self.adapter is None and set(self.served) <= {"base"}

    @property
    def answered_by(self) -> str:
        """An adapter's id or `base`; of several each with its rows."""
        if len(self.served) < 2:
            return self.adapter or "base"
        return ", ".join(f"{name} ({part.rows:,} rows)" for name, part in self.served.items())

    @property
    def judged(self) -> str:
        """The same for a sentence."""
        return "the bare base" if self.bare else self.answered_by


class Cost(_Strict):
    """What the answers cost on the machine that ran them; failed rows are left out."""

    seconds: float = Field(description="sum over rows")
    tokens: int
    tokens_per_second: float | None
    first_token_median: float | None = Field(description="seconds")
    first_token_90: float | None = Field(description="seconds; nine rows of ten are quicker")
    peak_memory_mib: float = Field(description="of the process, or of the GPU, since it started")


class FittedTemperature(_Strict):
    """Temperature scaling fitted on the rows of this run, with its effect on the same rows."""

    value: float
    log_loss_before: float
    log_loss_after: float
    calibration_error_before: float
    calibration_error_after: float


class Contamination(_Strict):
    """Judged rows that occur in training files, and the primary figure without them."""

    files: dict[str, str] = Field(description="name -> SHA-256 of the training files looked at")
    exact: list[int] = Field(description="lines whose text occurs there")
    near: list[int] = Field(description="lines whose text nearly does (Jaccard 0.8 and more)")
    without: Figure | None = Field(description="the primary figure without these rows")


class BaselineComparison(_Strict):
    """An adapter's accuracy beside the baseline's, over the rows that both answered."""

    baseline: Figure
    adapter: Figure
    difference: Figure = Field(description="adapter minus baseline, both drawn on the same rows")
    p: float = Field(description="two-sided, exact McNemar")
    verdict: Verdict = Field(description="on the adapter")


class Baseline(_Strict):
    """TF-IDF with logistic regression, trained on the rows that the adapter was trained on."""

    status: Literal["measured", "not applicable", "not readable"]
    reason: str = Field("", description="why it was not measured, a sentence")
    training_rows: int = Field(0, description="that have one of the labels offered")
    unseen: list[str] = Field([], description="labels offered that no training row has")
    left_out: list[int] = Field([], description="lines where it knows none of the labels offered")
    notes: list[str] = Field([], description="where its rows may not be the adapter's very own")
    said: list[Statement] = Field([], description="reason and notes, for other languages")
    compared: BaselineComparison | None = None


class Slice(_Strict):
    """The primary figure over some of the rows."""

    kind: Literal["length", "language", "label", "adapter"]
    name: str
    figure: Figure


class ChoiceReport(_Strict):
    """What only choices have."""

    labels: list[str]
    per_label: dict[str, dict[str, float]] = Field(description="precision, recall, f1, rows")
    confusion: list[list[int]] = Field(description="a line a right label, a column a chosen one")
    reliability: list[dict[str, float]]
    temperature: FittedTemperature


class Run(_Strict):
    """run.json: one evaluation run."""

    version: Literal[1] = Field(1, description="of this schema", alias="schema")
    status: Literal["running", "finished"]
    settings: RunSettings = Field(alias="asked")
    started: str = Field(description="UTC")
    finished: str | None = None
    failed: int = Field(0, description="rows without an answer; they are in no figure")
    failures: dict[int, str] = Field({}, description="line -> why")
    figures: dict[str, Figure] = {}
    score_name: str = Field("", description="what `score` in rows.jsonl is")
    signatures: dict[str, str] = Field(
        {}, description="of BLEU and chrF++ as sacrebleu prints them; the labels of macro F1"
    )
    slices: list[Slice] = []
    chosen: ChoiceReport | None = None
    contamination: Contamination | None = None
    baseline: Baseline | None = Field(
        None, description="of an adapter that chooses", exclude_if=lambda found: found is None
    )
    cost: Cost | None = None
    versions: dict[str, str] = Field({}, description="packages that made the figures")

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    @property
    def primary(self) -> str:
        """The figure that decides."""
        return self.settings.metrics[0]


def write(folder: Path, run: Run) -> None:
    """Put run.json in its place in one step."""
    temporary = folder / WRITING
    text = json.dumps(run.model_dump(mode="json", by_alias=True), indent=1, ensure_ascii=False)
    temporary.write_text(text + "\n", encoding="utf-8")
    os.replace(temporary, folder / RUN_FILE)


def read(folder: Path) -> Run:
    """The record of a run's folder.

    Raises:
        InputError: there is none, or it is no run record.
    """
    file = folder / RUN_FILE if folder.is_dir() else folder
    try:
        return Run(**_object(file))
    except OSError as error:
        raise InputError(
            f"{folder} holds no evaluation run: {RUN_FILE} cannot be read ({error.strerror})."
        ) from error
    except (ValueError, TypeError, ValidationError) as error:
        raise InputError(f"{file} is not the record of an evaluation run.") from error


def outcomes(folder: Path, name: str = ROWS_FILE) -> list[Outcome]:
    """The judged rows of a run's folder, in order; half a line at the end is left out.

    Args:
        name: the file, BASELINE_FILE for the baseline's answers to the same rows.

    Raises:
        InputError: a line is no outcome.
    """
    file = folder / name
    try:
        lines = file.read_bytes().split(b"\n")[:-1] if file.exists() else []
        return [Outcome(**json.loads(line)) for line in lines]
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{file} is damaged ({error}). Choose another --output.") from error


def trim(folder: Path) -> None:
    """Cut half a line off the end of rows.jsonl, left by a run that was killed."""
    file = folder / ROWS_FILE
    if file.exists():
        content = file.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(file, whole)


def lines(judged: Iterable[Outcome]) -> str:
    """Outcomes as lines of JSON."""
    return "".join(
        json.dumps(outcome.model_dump(exclude_defaults=True, by_alias=True), ensure_ascii=False)
        + "\n"
        for outcome in judged
    )


def _object(file: Path) -> dict[str, Any]:
    values = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(values, dict):
        raise ValueError("not an object")
    return values
