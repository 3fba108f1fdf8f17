"""run.json of an adapter: what its training read, what it took, and what it is for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_serializer,
    field_validator,
)

from adapter_store.files import RUN_RECORD, read_json
from adapter_store.scope import Scope
from core.errors import AdapterError
from core.statement import Statement, statement
from tasks.spec import task_name_of

ENDED_WORSE = 3  # exit code of a training whose validation loss ended above where it began


class _Tolerant(BaseModel):
    """Any adapter may bring a record, an old or a foreign one.

    Keys that are not known stay; a value that is of another type than ours counts as not there.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    @field_validator("*", mode="wrap")
    @classmethod
    def _default_for_foreign(
        cls, value: Any, validate: ValidatorFunctionWrapHandler, info: ValidationInfo
    ) -> Any:
        try:
            return validate(value)
        except ValidationError:
            if info.field_name == "scope":  # an adapter must not answer what it was not made for
                raise
            return cls.model_fields[str(info.field_name)].get_default(call_default_factory=True)


class DataSetRecord(_Tolerant):
    """One data set of a training."""

    name: str = ""
    licence: str = "not stated"
    attribution: str = ""
    train_rows: int = 0
    validation_rows: int = 0
    own_prompts: int = Field(0, description="training rows with a system prompt of their own")
    refused: int = Field(0, description="rows that could not be used")
    sha256: dict[str, str] = Field({}, description="file name -> hash, of every file read")
    hub: str = Field("", description="where it was read on the hub, and the revision there")


class StartRecord(_Tolerant):
    """The adapter that a training went on from."""

    name: str = ""
    adapter: str = Field("", description="its fingerprint")
    data: list[DataSetRecord] = []
    start: StartRecord | None = Field(None, description="what it was itself started from")
    recipe: dict[str, Any] = Field({}, description="of its recipe, `data`")


class RunRecord(_Tolerant):
    """One finished training. The fields stand in the order of the file."""

    name: str = ""
    finished: str = Field("", description="UTC")
    adapter: str = Field("", description="fingerprint of config and weights")
    base: str = ""
    task: str = Field("", description="fingerprint of the task")
    task_name: str = ""
    task_version: int = 0
    scope: Scope = Field(Scope(), description="steps it may answer; an empty one covers all")
    recipe: str = Field("", description="fingerprint of the settled recipe")
    seed: int = 0
    data: list[DataSetRecord] = []
    steps: int = 0
    rows: int = Field(0, description="examples learnt from, over all steps")
    tokens: int = Field(0, description="positions computed, padding included")
    seconds: float = Field(0.0, description="spent in steps")
    loss_before: float | None = Field(None, description="validation loss before the first step")
    evaluations: list[tuple[int, float]] = Field(
        [], description="(step, validation loss in nats an answer token)"
    )
    kept_best: bool = Field(False, description="the adapter is that of the lowest loss")
    threads: int = 0
    processes: int = 1
    processor: str = ""
    versions: dict[str, str] = Field({}, description="package -> version")
    folds: list[float] = Field([], description="validation losses of a cross-validation before")
    findings: list[str] = Field([], description="what was noticed about the rows")
    start: StartRecord | None = None

    @property
    def ended_worse(self) -> Statement | None:
        """Said where the validation loss ended above where it began."""
        if self.loss_before is None or not self.evaluations:
            return None
        kept = self.best_loss if self.kept_best else self.evaluations[-1][1]
        if kept <= self.loss_before:
            return None
        return statement(
            "run.ended_worse",
            "{name}: the validation loss ended at {kept}, above {before} where it began, so the "
            "training made it worse. Use a smaller learning_rate, fewer epochs, patience=2 to "
            "keep the best, or other rows.",
            name=self.name,
            kept=f"{kept:.3f}",
            before=f"{self.loss_before:.3f}",
        )

    @property
    def trained_for(self) -> str:
        """Name of the task. Older records name it only in the task's fingerprint."""
        return self.task_name or task_name_of(self.task)

    @property
    def best_loss(self) -> float:
        """The lowest validation loss.

        Raises:
            ValueError: none was taken.
        """
        return min(loss for _, loss in self.evaluations)

    @field_serializer("scope")
    def _without_defaults(self, scope: Scope) -> dict[str, Any]:
        return scope.model_dump(exclude_defaults=True)

    def as_start(self, recipe_data: list[Any]) -> StartRecord:
        """What the record of a training that goes on from this adapter says of it.

        Args:
            recipe_data: `data` of the adapter's recipe.
        """
        fields = {key: getattr(self, key) for key in ("name", "adapter", "data", "start")}
        given = {key: value for key, value in fields.items() if key in self.model_fields_set}
        return StartRecord(**given, recipe={"data": recipe_data})

    def as_json(self) -> str:
        """The text of the file: the keys that were given, in the order of the fields."""
        return json.dumps(self.model_dump(exclude_unset=True), indent=1, ensure_ascii=False)


def write_run_record(folder: Path, record: RunRecord) -> None:
    """Write it into a finished adapter's folder."""
    (folder / RUN_RECORD).write_text(record.as_json(), encoding="utf-8")


def read_run_record(folder: Path) -> RunRecord:
    """The record in an adapter's folder; an empty one where there is no such file.

    Raises:
        AdapterError: it is no JSON object, larger than a MiB, or its scope is wrong.
        OSError: it cannot be read.
    """
    file = folder / RUN_RECORD
    if not file.is_file():
        return RunRecord()
    try:
        return RunRecord.model_validate(read_json(file))
    except ValidationError as error:
        raise AdapterError(f"{folder.name}: {RUN_RECORD} is not a run record ({error}).") from error
