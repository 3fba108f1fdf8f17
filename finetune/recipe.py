"""Recipe: everything one training depends on, from a small YAML file plus `key=value` overrides.

The defaults stand here, beside their meaning. A recipe file holds only what differs, and every
value remembers where it came from.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from adapter_store.discovery import ADAPTER_ID
from core import yaml_text
from core.errors import SettingsError
from tasks.rows import Layout

RECIPES = Path(__file__).parent / "recipes"
SHIPPED = Path(__file__).parent  # rows of our own stand in `rows/`


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataSource(Layout):
    """One data set. `path` (a local file) wins over `hub` (a data-set name) where it exists."""

    path: str | None = Field(
        None, description="local file: JSON lines or array, CSV, TSV, Parquet, XLSX"
    )
    validation: str | None = Field(None, description="local file to validate on")
    hub: str | None = Field(None, description="hub data-set name, used without a local file")
    revision: str | None = Field(None, description="its commit there: the same rows every time")
    subset: str | None = Field(None, description="configuration of the hub data set")
    split: str = Field("train", description="split of the hub data set")
    validation_split: str | None = Field(None, description="its split to validate on")
    both_ways: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of the rows also learnt answer -> text, languages exchanged",
    )
    labels: Literal["task", "sampled", "row"] = Field(
        "task",
        description="label list in the prompt: the task's, drawn from the data's own, or the row's",
    )
    take: int | None = Field(None, ge=1, description="rows to draw, at random, by the seed")
    name: str = ""
    licence: str = "not stated"
    attribution: str = ""

    @model_validator(mode="after")
    def _has_a_place(self) -> DataSource:
        if not self.path and not self.hub:
            raise ValueError("a data source needs `path` (a local file) or `hub` (a name)")
        if self.revision and not self.hub:
            raise ValueError("`revision` is that of a data set on the hub: name it with `hub`")
        return self

    def place(self, file: str, data_folder: str) -> Path:
        """Where a file of it lies: where the data begin, else among those that ship."""
        there = Path(data_folder).expanduser() / Path(file).expanduser()
        return SHIPPED / file if not there.is_file() and (SHIPPED / file).is_file() else there


class Lora(_Strict):
    """The low-rank update. See Hu et al. 2021, arXiv 2106.09685."""

    rank: int = Field(8, ge=1, le=512)
    alpha: float = Field(16.0, gt=0)
    keep: int | None = Field(None, ge=1, description="rank to keep at most, in the end")
    strength: float = Field(
        1.0,
        gt=0,
        le=1,
        description="share of the update that is kept in the end; less where it learnt by heart",
    )
    dropout: float = Field(0.0, ge=0, lt=1)
    targets: str | list[str] = Field("all-linear", description="layer names, or all-linear")
    from_layer: int = Field(0, ge=0, description="layers below stay as they are: less to compute")
    rslora: bool = False
    dora: bool = Field(False, description="cannot be served unmerged; export it merged")


class Range(_Strict):
    """Numbers between two bounds, both included."""

    low: float
    high: float
    log: bool = False


class Recipe(_Strict):
    """One finetune's settings. Make one with `load_recipe`."""

    name: str = Field(pattern=rf"^{ADAPTER_ID}$", description="id of the adapter that comes out")
    task: str
    notes: str = Field("", description="what a reader of the card should know about the data")
    base: str = Field("starter", description="'starter', 'smollm2', a hub id, or a folder")
    revision: str = "main"
    quantization: Literal["none", "nf4"] = "none"
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    data: list[DataSource] = Field(min_length=1)
    data_folder: str = Field(".", description="where relative paths of data files begin")
    validation_share: float = Field(0.1, gt=0, lt=1, description="split off where none is given")
    folds: int | None = Field(
        None, ge=2, description="cross-validation before the training: so many parts held out"
    )
    fold: int | None = Field(None, ge=0, description="the part held out; set by cross-validation")
    validation_rows: int = Field(128, ge=1, description="rows the validation loss is taken on")
    max_refused: float = Field(
        0.1, ge=0, le=1, description="share of a data set's rows that may be refused"
    )
    max_tokens: int = Field(512, ge=16, description="longer rows are refused")
    any_task: bool = Field(
        False, description="answers for tasks without an adapter too, as instruction tuning does"
    )
    start: str | None = Field(None, description="finished adapter to go on from, by name or folder")
    lora: Lora = Lora()
    learning_rate: float = Field(6e-4, gt=0)
    warmup: float = Field(0.06, ge=0, lt=1, description="share of the steps")
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    weight_decay: float = Field(0.0, ge=0)
    clip: float = Field(1.0, gt=0, description="largest norm of the gradient")
    batch: int = Field(16, ge=1, description="rows a step, at most")
    batch_tokens: int = Field(2**20, ge=16, description="tokens a step, about, at most")
    epochs: float = Field(1.0, gt=0)
    steps: int | None = Field(None, ge=1, description="instead of epochs")
    minutes: float | None = Field(None, gt=0, description="instead of epochs: a time budget")
    evaluations: int = Field(4, ge=1, description="validation losses along the way")
    patience: int | None = Field(
        None, ge=1, description="stop after so many evaluations without a better loss; keep best"
    )
    class_weights: Literal["none", "balanced"] | dict[str, float] = "none"
    typos: float = Field(
        0.0, ge=0, le=1, description="share of the rows that get slips of the keyboard, each epoch"
    )
    menu: tuple[int, int] = Field((2, 10), description="fewest, most labels in a sampled list")
    round_to: int = Field(8, ge=1, description="lengths are padded to multiples: few shapes")
    gradient_checkpointing: bool = Field(False, description="less memory, a third more time")
    checkpoint_minutes: float = Field(5.0, gt=0)
    threads: int | None = Field(None, ge=1)
    log_with: list[Literal["tensorboard", "jsonl", "trackio", "mlflow", "wandb"]] = Field(
        ["tensorboard"], description="trackers that are shown the curves"
    )
    samples: int = Field(
        0, ge=0, le=20, description="validation rows that are answered at every evaluation"
    )
    seed: int = 0
    search: dict[str, Range | list[Any]] = Field(
        {}, description="sweep: dotted key -> values to choose from, or a range"
    )

    @field_validator("log_with", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _keeps_less(self) -> Recipe:
        keep, rank = self.lora.keep, self.lora.rank
        if keep and (self.lora.dora or (self.start is None and keep >= rank)):
            raise ValueError(f"lora.keep={keep} must be less than rank={rank}, without dora")
        return self

    def settled(self) -> dict[str, Any]:
        """What decides the adapter, JSON-able, without this machine's folders and trackers."""
        values = self.model_dump(mode="json", exclude={"data_folder", "log_with", "samples"})
        for source in values["data"]:
            for file in ("path", "validation"):
                source[file] = source[file] and self._portable(source[file])
        values["start"] = self.start and Path(self.start).name
        return values

    def _portable(self, file: str) -> str:
        """A data file by its way from where the data begin, else by its name."""
        given, folder = Path(file).expanduser(), Path(self.data_folder).expanduser().resolve()
        if not given.is_absolute():
            return file
        return given.relative_to(folder).as_posix() if given.is_relative_to(folder) else given.name


class ResolvedRecipe(_Strict):
    """A recipe and where each of its values came from (`lora.rank` -> its source)."""

    recipe: Recipe
    origins: dict[str, str]

    def explain(self) -> str:
        """One line a value: `name = value  (source)`."""
        return "\n".join(
            f"{key} = {value}  ({self.origins.get(key, 'default')})"
            for key, value in flat(self.recipe.model_dump())
        )


def load_recipe(name: str, overrides: Iterable[str] = ()) -> ResolvedRecipe:
    """Read a recipe file, or a shipped recipe by name, and apply `key=value` overrides.

    `data=PATH` puts one local file in place of all the recipe's data sets; other keys are dotted
    (`lora.rank=16`, `data.0.take=500`). Values are YAML. A recipe that `extends` a shipped one
    holds only what differs from it.

    Raises:
        SettingsError: the file, a key or a value is wrong; the message names it and near matches.
    """
    file = _find(name)
    values, origins = _inherited(file)
    values.setdefault("name", file.stem)
    for override in overrides:
        key, sign, text = override.partition("=")
        if not sign:
            raise SettingsError(f"{override!r} is not key=value, like learning_rate=0.0005.")
        value = _value(text, override)
        if key == "data":
            values["data"] = [_own_file(value, values)]
            values.pop("notes", None)
            origins = {k: v for k, v in origins.items() if not k.startswith(("data.", "notes"))}
            key = "data.0.path"
        key = "data.0.validation" if key == "validation" else key
        _set(values, key, value, override)
        origins[key] = "command line"
    return ResolvedRecipe(recipe=_validated(values, file.name), origins=origins)


def shipped() -> list[str]:
    """Names of the recipes that come with the program."""
    return sorted(file.stem for file in RECIPES.glob("*.yaml"))


def _find(name: str) -> Path:
    given = Path(name).expanduser()
    if given.suffix in {".yaml", ".yml"}:
        if given.is_file():
            return given
        raise SettingsError(f"The recipe file {name} does not exist.")
    if name in shipped():
        return RECIPES / f"{name}.yaml"
    raise SettingsError(
        f"There is no recipe {name!r}.{_near_matches(name, shipped())} Or name a .yaml file."
    )


def _read(file: Path) -> dict[str, Any]:
    try:
        values = yaml_text.load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(f"{file} cannot be read as YAML: {error}") from error
    if not isinstance(values, dict):
        raise SettingsError(f"{file} must hold `name: value` lines.")
    return values


def _inherited(file: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """A file's values over those of the recipe it extends, and the file each came from."""
    values = _read(file)
    origins = {key: file.name for key, _ in flat(values)}
    if not (parent := values.pop("extends", None)):
        return values, origins
    below, their_origins = _inherited(_find(str(parent)))
    if "data" in values:
        below.pop("notes", None)  # they are about the data that these take the place of
    return {**below, **values}, {**their_origins, **origins}


def _own_file(path: Any, values: dict[str, Any]) -> dict[str, Any]:
    """A person's file as the only data set, label lists drawn as the recipe's first one has it."""
    first = (values.get("data") or [{}])[0]
    return {"path": path, **({"labels": first["labels"]} if "labels" in first else {})}


def _value(text: str, override: str) -> Any:
    try:
        return yaml_text.load(text)
    except yaml.YAMLError as error:
        raise SettingsError(f"{override!r}: the value is not YAML. Put it in quotes.") from error


def _set(values: dict[str, Any], key: str, value: Any, override: str) -> None:
    *parents, last = key.split(".")
    place: Any = values
    for part in parents:
        try:
            place = place[int(part)] if isinstance(place, list) else place.setdefault(part, {})
        except (ValueError, IndexError) as error:
            raise SettingsError(f"{override!r}: the recipe has no {key!r}.") from error
    if not isinstance(place, dict):
        raise SettingsError(f"{override!r}: {key!r} is not a single value.")
    place[last] = value


def _validated(values: dict[str, Any], file: str) -> Recipe:
    try:
        return Recipe(**values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the recipe"
        if first["type"] == "extra_forbidden":
            keys = _fields(first["loc"])
            near = _near_matches(str(first["loc"][-1]), keys)
            message = f"there is no key {where!r}.{near} Known: {', '.join(keys)}"
        else:
            message = f"{where}={first['input']!r}: {first['msg'].removeprefix('Value error, ')}"
        raise SettingsError(f"{file}: {message}.") from error


def _fields(place: tuple[int | str, ...]) -> list[str]:
    models: dict[str, type[BaseModel]] = {"data": DataSource, "lora": Lora}
    model = models.get(str(place[0]), Recipe) if len(place) > 1 else Recipe
    return sorted(model.model_fields)


def _near_matches(name: str, names: Iterable[str]) -> str:
    matches = difflib.get_close_matches(name, list(names), n=3)
    return f" Did you mean {' or '.join(matches)}?" if matches else ""


def flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and plain values of nested dictionaries and lists of dictionaries."""
    if isinstance(value, Mapping) and value:
        items: Iterable[tuple[Any, Any]] = value.items()
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        items = enumerate(value)
    else:
        yield prefix, value
        return
    for key, inner in items:
        yield from flat(inner, f"{prefix}.{key}" if prefix else str(key))
