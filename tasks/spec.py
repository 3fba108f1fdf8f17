"""TaskSpec: one validated description of a skill, read from two YAML files in its folder."""

from __future__ import annotations

import string
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from core import fingerprint, paths, yaml_text
from core.errors import InputError, TaskError, UnknownName
from core.yaml_text import Text
from tasks import languages

Lang = Literal["en", "zh"]
MAX_COUNT = 50  # pieces that an answer can be asked for
TASK_NAME = r"^[a-z][a-z0-9_-]{0,39}$"
PROBABILITY = "probability"  # a floor of a task: that of a written token, or of the chosen label
SlotValue = str | list[str]  # ISO 639-1 code, name of a choice, or label list


@dataclass(frozen=True)
class ToolCall:
    """A function that a model calls; `arguments` are JSON, an object."""

    id: str
    name: str
    arguments: str


class Message(TypedDict):
    """One turn of a conversation.

    What the person decided about a user turn goes with it: the `task` they chose, or the tasks of
    the `plan` they picked, and the `slots` they chose for it. `attached` is the end of its content
    that came as files: the text to work on, after a blank line. `results` are what each step of an
    assistant's turn came to, where its content does not tell. `calls` are the assistant's, and
    `call_id` is the one that a tool's turn is the result of.
    """

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    task: NotRequired[str | None]
    slots: NotRequired[dict[str, SlotValue]]
    attached: NotRequired[str]
    plan: NotRequired[list[str]]
    results: NotRequired[list[str]]
    calls: NotRequired[tuple[ToolCall, ...]]
    call_id: NotRequired[str]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Both(_Strict):
    """A phrase in both interface languages."""

    en: Text
    zh: Text


def _is_off(value: float) -> bool:
    return value == 0


class Decoding(_Strict):
    """How an answer is drawn. Temperature 0 is greedy.

    Attributes:
        top_k: only so many of the likeliest tokens; 0 is all.
        min_p: only tokens at least this often as likely as the likeliest; 0 is all.
        frequency_penalty, presence_penalty: what a token's logit loses for each time, and for once,
            that it stands in the answer already.
        dry_multiplier: how much less likely a token is that would go on with a repetition of the
            answer's own words; 0 is off. See `engine.sampling`.
        dry_allowed_length: nothing is said against a repetition of fewer tokens than so many.
    """

    max_new_tokens: int = Field(256, ge=1, le=8192)
    temperature: float = Field(0.0, ge=0, le=5)
    top_p: float = Field(1.0, gt=0, le=1)
    repetition_penalty: float = Field(1.0, ge=0.5, le=3)
    # What is off is left out: a decoding without it keeps the fingerprint it had before.
    top_k: int = Field(0, ge=0, exclude_if=_is_off)
    min_p: float = Field(0.0, ge=0, le=1, exclude_if=_is_off)
    frequency_penalty: float = Field(0.0, ge=-2, le=2, exclude_if=_is_off)
    presence_penalty: float = Field(0.0, ge=-2, le=2, exclude_if=_is_off)
    dry_multiplier: float = Field(0.0, ge=0, le=5, exclude_if=_is_off)
    dry_allowed_length: int = Field(4, ge=1, exclude_if=lambda length: length == 4)
    seed: int = 0


class Prompt(_Strict):
    """The chat messages a step becomes. `{text}` is the content; other braces name slots."""

    system: str = ""
    user: str = "{text}"


class SlotChoice(_Strict):
    """One value of a `choice` slot: what the prompt says, and the words that ask for it."""

    say: Text
    words: list[Text]


class Slot(_Strict):
    """A value the planner finds in the request and the prompt needs.

    `language` slots hold ISO 639-1 codes (the prompt gets the English name), `choice` slots one
    of the named choices (the prompt gets its `say`), `labels` slots the person's own label list,
    `count` slots how many pieces the answer is to have, which the prompt does not say.

    Attributes:
        counts: of a `count` slot: choice of another slot -> the words for its pieces.
    """

    type: Literal["language", "choice", "labels", "count"]
    default: str | None = None
    choices: dict[str, SlotChoice] = {}
    counts: dict[str, list[str]] = {}


class Parts(_Strict):
    """How a text is read that is long: in parts, whose results are joined.

    Attributes:
        above: a text of no more tokens is read at once, where it fits beside prompt and answer.
        tokens: of a part at most.
        shorter: choice of a slot -> tokens of a part, about, and above which there are parts,
            where the answer is to have pieces.
        slots: slot -> value, as each part is asked about, and several parts' answers together.
        pieces: choice of a slot -> how many pieces the whole answer has; 1 where it is not named.
        marks: choice of a slot -> what stands before each piece, on a line of its own then.
    """

    above: int = Field(ge=16)
    tokens: int = Field(ge=16)
    shorter: dict[str, int] = {}
    slots: dict[str, str] = {}
    pieces: dict[str, int] = {}
    marks: dict[str, str] = {}

    @property
    def fingerprint(self) -> str:
        """Changes with anything that can change the answer to a long text."""
        return fingerprint.of_value(self.model_dump())


class Requests(_Strict):
    """Sample requests, the router's training set."""

    en: list[str]
    zh: list[str]

    def all(self) -> list[str]:
        """Samples of both languages, English first."""
        return [*self.en, *self.zh]


class TaskSpec(_Strict):
    """A skill. `choose` scores labels by likelihood; `write` generates text."""

    name: str = Field(pattern=TASK_NAME)
    version: int = Field(ge=1)
    kind: Literal["choose", "write"]
    title: Both
    description: Both
    commands: list[str] = []
    prompt: Prompt
    conversation: bool = False
    split: Literal["none", "sentences"] = "none"
    parts: Parts | None = None
    labels: dict[str, Both] = {}
    slots: dict[str, Slot] = {}
    decoding: Decoding = Decoding()
    max_ratio: float | None = Field(None, gt=0, description="answer tokens per content token")
    columns: dict[str, str] = {}
    codings: list[dict[str, str]] = Field(
        [], description="what other people's files may call the labels; offered, never assumed"
    )
    metrics: list[str] = []
    floors: dict[str, float] = Field(
        {}, description="figure -> where it is less, the answer says that it is doubtful"
    )
    adapters: list[str] = []  # the first that was trained for a step answers it
    examples: dict[Lang, list[str]] = {}
    requests: Requests

    @field_validator("commands")
    @classmethod
    def _commands_are_words(cls, commands: list[str]) -> list[str]:
        for command in commands:
            if not command.isidentifier():
                raise ValueError(f"a command is one word, not {command!r}")
        return commands

    @model_validator(mode="after")
    def _fits_together(self) -> TaskSpec:
        if self.kind == "choose" and not self.labels:
            raise ValueError("a `choose` task needs `labels`")
        if self.kind == "write" and self.labels:
            raise ValueError("`labels` belong to `choose` tasks; this one is `write`")
        for label in {label for known in self.codings for label in known.values()}:
            if label not in self.labels:
                raise ValueError(f"`codings` name the label {label!r}, which is not in `labels`")
        fillable = {"text", *self.slots, *({"labels"} if self.kind == "choose" else ())}
        for part in (self.prompt.system, self.prompt.user):
            for _, field, _, _ in string.Formatter().parse(part):
                if field is not None and field not in fillable:
                    raise ValueError(f"the prompt uses {{{field}}}; known here: {sorted(fillable)}")
        if "{text}" not in self.prompt.user:
            raise ValueError("the prompt's user part must hold {text}")
        for name, slot in self.slots.items():
            if slot.type == "choice" and slot.default not in slot.choices:
                raise ValueError(f"the slot {name!r} needs a default among its choices")
        return self

    @property
    def fingerprint(self) -> str:
        """Changes with anything that can change an answer: prompt, labels, slots, decoding."""
        answer = self.model_dump(include={"kind", "prompt", "labels", "slots", "decoding", "split"})
        answer["slots"] = {  # a count changes no prompt, and no answer where none is asked for
            name: {key: value for key, value in answer["slots"][name].items() if key != "counts"}
            for name, slot in self.slots.items()
            if slot.type != "count"
        }
        return f"{self.name}-v{self.version}-{fingerprint.of_value(answer)}"

    @property
    def labels_slot(self) -> str | None:
        """The slot for a label list of the person's own, whatever it is called."""
        return self._slot(lambda slot: slot.type == "labels")

    def count(self, slots: Mapping[str, SlotValue]) -> int | None:
        """How many pieces the answer is to have, by a step's slot values; None: nobody said."""
        name = self._slot(lambda slot: slot.type == "count")
        value = slots.get(name or "")
        return int(value) if isinstance(value, str) else None

    @property
    def target_slot(self) -> str | None:
        """The slot for the language of the answer."""
        return self._slot(lambda slot: slot.type == "language" and slot.default != "detected")

    @property
    def source_slot(self) -> str | None:
        """The slot for the language of the content, which is detected where nobody names it."""
        return self._slot(lambda slot: slot.type == "language" and slot.default == "detected")

    def filled(self, slots: Mapping[str, SlotValue]) -> dict[str, SlotValue | None]:
        """A step's slot values, with the default of each slot that has none."""
        return {name: slot.default for name, slot in self.slots.items()} | dict(slots)

    def own_labels(self, slots: Mapping[str, SlotValue]) -> list[str]:
        """The person's own label list among a step's slot values; empty where there is none."""
        labels = slots.get(self.labels_slot or "")
        return labels if isinstance(labels, list) else []

    def target_language(self, slots: Mapping[str, SlotValue]) -> str | None:
        """ISO 639-1 code of the answer's language among a step's slot values."""
        return _language(slots, self.target_slot)

    def source_language(self, slots: Mapping[str, SlotValue]) -> str | None:
        """ISO 639-1 code of the content's language among a step's slot values."""
        return _language(slots, self.source_slot)

    def _slot(self, fits: Callable[[Slot], bool]) -> str | None:
        return next((name for name, slot in self.slots.items() if fits(slot)), None)

    def fills(self, slots: Mapping[str, SlotValue], labels: Iterable[str] = ()) -> dict[str, str]:
        """What each slot says in the prompt.

        Args:
            slots: slot -> value; a slot without one takes its default.
            labels: the label list that the prompt of a `choose` task shows, as `{labels}` and
                under the name of its slot.

        Raises:
            InputError: a value is no choice of its slot, or no language.
        """
        filled: dict[str, str] = {}
        if self.kind == "choose":
            filled = dict.fromkeys(["labels", self.labels_slot or "labels"], ", ".join(labels))
        for name, slot in self.slots.items():
            value = slots.get(name) or slot.default
            if slot.type == "labels" or not isinstance(value, str):
                continue
            if slot.type == "count":
                if not (value.isdecimal() and 1 <= int(value) <= MAX_COUNT):
                    raise InputError(f"{name} is a number from 1 to {MAX_COUNT}, not {value!r}.")
                continue
            if slot.type == "language":
                if value not in languages.codes():
                    raise InputError(f"{value!r} is no ISO 639-1 language code.")
                filled[name] = languages.name(value)
            else:
                if value not in slot.choices:
                    raise InputError(f"{name} is one of {', '.join(slot.choices)}, not {value!r}.")
                filled[name] = slot.choices[value].say
        return filled

    def messages(
        self, text: str, fills: Mapping[str, str], history: Iterable[Message] = ()
    ) -> list[Message]:
        """The chat messages for one step.

        Args:
            text: the content to work on.
            fills: what each slot says in the prompt, ready to insert.
            history: earlier turns, used only by `conversation` tasks. A system message among
                them is the person's own and replaces the task's.
        """
        values = {**fills, "text": text}
        earlier = list(history) if self.conversation else []
        own = [turn["content"] for turn in earlier if turn["role"] == "system"]
        system = own[-1] if own else _insert(self.prompt.system, values)
        turns: list[Message] = [{"role": "system", "content": system}] if system else []
        turns += [
            {"role": turn["role"], "content": turn["content"]}
            for turn in earlier
            if turn["role"] != "system"
        ]
        turns.append({"role": "user", "content": _insert(self.prompt.user, values)})
        return turns


def task_name_of(task_fingerprint: str) -> str:
    """The name in a `TaskSpec.fingerprint`; a text of another form is taken for a name."""
    return task_fingerprint.rpartition("-v")[0] or task_fingerprint


def _language(slots: Mapping[str, SlotValue], name: str | None) -> str | None:
    code = slots.get(name or "")
    return code if isinstance(code, str) else None


def _insert(template: str, values: Mapping[str, str]) -> str:
    parts = []
    for literal, field, _, _ in string.Formatter().parse(template):
        parts.append(literal)
        if field is not None:
            if field not in values:
                raise InputError(f"The prompt needs a value for {field!r} and none was found.")
            parts.append(values[field])
    return "".join(parts)


def load_tasks(folders: Iterable[Path] | None = None) -> dict[str, TaskSpec]:
    """Read every task folder, by default the shipped ones and the person's own.

    Raises:
        TaskError: a file is missing, is not YAML, or breaks the schema.
    """
    tasks: dict[str, TaskSpec] = {}
    for folder in paths.task_dirs() if folders is None else folders:
        for file in sorted(folder.glob("*/task.yaml")):
            task = _load_task(file)
            tasks[task.name] = task
    _check_commands(tasks)
    return tasks


def find_task(tasks: Mapping[str, TaskSpec], name: str) -> TaskSpec:
    """The task of that name or slash command.

    Raises:
        UnknownName: with near matches.
    """
    for task in tasks.values():
        if name == task.name or name in task.commands:
            return task
    raise UnknownName("task", name, tasks)


def conversation_task(tasks: Mapping[str, TaskSpec]) -> TaskSpec:
    """The first task that converses: what is asked of no other skill is answered by it.

    Raises:
        TaskError: there is none.
    """
    for task in tasks.values():
        if task.conversation:
            return task
    raise TaskError("No task has `conversation: true`, and one must answer what no other does.")


def _load_task(file: Path) -> TaskSpec:
    values = _read_yaml(file)
    values["requests"] = _read_yaml(file.with_name("requests.yaml"))
    if values.get("name") != file.parent.name:
        raise TaskError(f"{file}: name is {values.get('name')!r}, the folder {file.parent.name!r}.")
    try:
        return TaskSpec(**values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the task"
        message = first["msg"].removeprefix("Value error, ")
        raise TaskError(f"{file}: {where}: {message}.") from error


def _read_yaml(file: Path) -> dict[str, Any]:
    try:
        values = yaml_text.load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise TaskError(f"{file} cannot be read: {error}") from error
    if not isinstance(values, dict):
        raise TaskError(f"{file} must hold `name: value` lines.")
    return values


def _check_commands(tasks: Mapping[str, TaskSpec]) -> None:
    owners: dict[str, str] = {}
    for task in tasks.values():
        for command in {task.name, *task.commands}:
            if command in owners:
                raise TaskError(f"/{command} belongs to both {owners[command]} and {task.name}.")
            owners[command] = task.name
