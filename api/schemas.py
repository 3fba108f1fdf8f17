"""What goes in over HTTP, in OpenAI's shapes; `patchbay` holds what is ours."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    StringConstraints,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from agent.cleaning import MAX_CHARACTERS
from agent.options import MAX_TEMPERATURE
from api.request_body import RequestBody
from api.tool_schemas import NamedTool, OfferedTool, PastCall
from core.errors import InputError
from documents import Document, joined, process
from engine.constraints import require_supported
from engine.interface import Grammar
from tasks.spec import Message

MAX_MESSAGES = 512
MAX_LABELS = 100
MAX_STOPS = 32
MAX_TOOLS = 128
MAX_CHOICES = 16
MAX_KIND_SHOWN = 100  # characters
MAX_INTEGER = 2**53 - 1  # the largest that every reader of JSON keeps exact


def _whole(value: object) -> object:
    """JSON has one kind of number: 5.0 is an integer, too."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE_NUMBER = BeforeValidator(_whole)


def _truth(value: object) -> object:
    """0 equals False in Python, and not in JSON."""
    if not isinstance(value, bool):
        raise PydanticCustomError("no_truth", "must be false")
    return value


Name = Annotated[str, Field(min_length=1, max_length=200)]
MessageText = Annotated[str, Field(max_length=MAX_CHARACTERS)]
StopString = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Label = Annotated[str, StringConstraints(min_length=1, max_length=100)]


def _distinct(labels: list[str]) -> list[str]:
    if len(set(labels)) < len(labels):
        raise ValueError("a label is there twice")
    return labels


RequestText = Annotated[str, StringConstraints(min_length=1, max_length=MAX_CHARACTERS)]


class TextPart(RequestBody):
    """A piece of a message."""

    type: Literal["text"]
    text: MessageText


class FileData(RequestBody):
    """A file, all of it."""

    filename: Annotated[str, Field(max_length=1000)] | None = None
    file_data: Annotated[str, Field(min_length=1)] = Field(
        description="its bytes in base64, with or without `data:...;base64,` before them"
    )


class FilePart(RequestBody):
    """A file that is content: PDF, DOCX, XLSX, Markdown, HTML, text, subtitles or a table."""

    type: Literal["file"]
    file: FileData

    _document: Document | None = PrivateAttr(None)

    @property
    def document(self) -> Document:
        """What was read of it.

        Raises:
            InputError: the operation reads no files.
        """
        if self._document is None:
            raise InputError("Files are read by /v1/chat/completions alone. Send the text here.")
        return self._document

    @property
    def text(self) -> str:
        """Its text."""
        return self.document.text

    def read(self) -> None:
        """Read it, in a process of its own.

        Raises:
            InputError: it is not base64, or not a file that can be read.
        """
        head, comma, rest = self.file.file_data.partition(",")
        try:
            raw = base64.b64decode(
                rest if comma and head.startswith("data:") else self.file.file_data, validate=True
            )
        except ValueError as error:
            raise InputError(
                "file.file_data is not base64. Send the file's bytes in base64, with or without "
                "`data:...;base64,` before them."
            ) from error
        self._document = process.read(self.file.filename or "file", raw)


def read_files(files: Sequence[FilePart]) -> None:
    """Read each of them; raises as `FilePart.read`."""
    for file in files:
        file.read()


def _kind_is_known(part: Any) -> Any:
    kind = part.get("type") if isinstance(part, dict) else None
    if isinstance(kind, str) and kind not in {"text", "file"}:
        raise PydanticCustomError(
            "unknown_part",
            "This server reads text and files, and no part of type '{kind}'. Leave it out",
            {"kind": kind[:MAX_KIND_SHOWN]},
        )
    return part


Part = Annotated[
    Annotated[TextPart | FilePart, Field(discriminator="type")], BeforeValidator(_kind_is_known)
]


class ChatMessage(RequestBody):
    """One turn of a conversation. `developer` is read as `system`; null is an answer that was
    empty.
    """

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: MessageText | Annotated[list[Part], Field(min_length=1, max_length=64)] | None = None
    name: Annotated[str, Field(max_length=200)] | None = None
    tool_calls: Annotated[list[PastCall], Field(max_length=MAX_TOOLS)] | None = None
    tool_call_id: Annotated[str, Field(max_length=200)] | None = None

    @property
    def is_of_tools(self) -> bool:
        """Whether it calls tools, or is what one gave."""
        return self.role == "tool" or bool(self.tool_calls)

    @property
    def text(self) -> str:
        """The content as one text."""
        return "\n\n".join(filter(None, [self.said, joined(self.documents)]))

    @property
    def said(self) -> str:
        """The text without that of files."""
        if self.content is None or isinstance(self.content, str):
            return self.content or ""
        return "".join(part.text for part in self.content if isinstance(part, TextPart))

    @property
    def files(self) -> list[FilePart]:
        """The files that came along."""
        parts = self.content if isinstance(self.content, list) else []
        return [part for part in parts if isinstance(part, FilePart)]

    @property
    def documents(self) -> list[Document]:
        """What was read of them."""
        return [file.document for file in self.files]

    @property
    def request(self) -> tuple[str, str | None]:
        """What is asked, and the text to work on where it comes as parts of its own."""
        if self.content is None or isinstance(self.content, str):
            return self.text, None
        first, *others = [part.text for part in self.content if isinstance(part, TextPart)] or [""]
        return first, "\n\n".join(others) or None


def as_messages(given: Sequence[ChatMessage]) -> list[Message]:
    """The turns as the agent reads them.

    Raises:
        InputError: together they are longer than any context, or a person's has no content.
    """
    for place, message in enumerate(given):
        if message.content is None and message.role != "assistant":
            raise InputError(
                f"messages.{place} by the {message.role} has no content. Say something."
            )
    size = sum(len(message.said) for message in given)
    if size > MAX_CHARACTERS:
        raise InputError(
            f"The messages have {size:,} characters; at most {MAX_CHARACTERS:,} can be read. "
            "Leave the oldest out."
        )
    return [_as_message(message) for message in given]


def _as_message(given: ChatMessage) -> Message:
    role = "system" if given.role == "developer" else given.role
    message: Message = {"role": role, "content": given.text}
    if attached := joined(given.documents):
        message["attached"] = attached
    if given.tool_calls:
        message["calls"] = tuple(call.called for call in given.tool_calls)
    if given.role == "tool":
        message["call_id"] = given.tool_call_id or ""
    return message


class StreamOptions(RequestBody):
    """What a stream holds beside the answer."""

    include_usage: bool | None = None


class AnswerSchema(RequestBody):
    """A JSON schema that the answer follows, `strict` or not."""

    name: Annotated[str, Field(max_length=200)] | None = None
    description: Annotated[str, Field(max_length=MAX_CHARACTERS)] | None = None
    schema_: Annotated[dict[str, Any], Field(alias="schema")]
    strict: bool | None = None


class ResponseFormat(RequestBody):
    """The form of the answer: text, any JSON object, or JSON by a schema."""

    type: Literal["text", "json_object", "json_schema"] = "text"
    json_schema: AnswerSchema | None = None

    def grammar(self) -> Grammar | None:
        """What the answer is held to; None for text.

        Raises:
            InputError: the schema is missing, wrong, or says what is not supported.
        """
        if self.type == "text":
            return None
        if self.type == "json_schema" and self.json_schema is None:
            raise InputError(
                "response_format has no json_schema. Write it, or use the type json_object."
            )
        schema = self.json_schema.schema_ if self.json_schema else {"type": "object"}
        grammar = Grammar("json_schema", json.dumps(schema, ensure_ascii=False))
        require_supported(grammar)
        return grammar


def _not_legacy(value: list[Any] | str | dict[str, Any]) -> Any:
    if value in ([], "none", "auto"):
        return value
    raise PydanticCustomError("legacy", "OpenAI has tools and tool_choice in its place. Use these")


NoFunctions = Annotated[
    list[Any],
    AfterValidator(_not_legacy),
    WithJsonSchema({"type": "array", "maxItems": 0}),
]
NoFunctionCall = Annotated[
    str | dict[str, Any],
    AfterValidator(_not_legacy),
    WithJsonSchema({"enum": ["none", "auto"]}),
]


class PatchbayOptions(RequestBody):
    """What OpenAI's API has no words for."""

    raw: bool | None = Field(
        None, description="read the messages as they stand, without the prompt of a task"
    )
    task: Name | None = Field(None, description="do this task, in place of routing")
    slots: dict[Name, Name | Annotated[list[Label], Field(min_length=2, max_length=MAX_LABELS)]] | (
        None
    ) = Field(
        None,
        description="values for its slots, like {'target': 'fr'}; with it, an empty one too, "
        "the whole last message is content, and else they are looked for in it",
    )


Penalty = Annotated[float, Field(ge=-2, le=2)]
Ignored = Annotated[str, Field(max_length=200)]


class Sampling(RequestBody):
    """How texts are drawn. What is left out comes from the task that answers."""

    temperature: Annotated[float, Field(ge=0, le=MAX_TEMPERATURE)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=-1, le=1_000_000), WHOLE_NUMBER] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    repetition_penalty: Annotated[float, Field(ge=0.5, le=3)] | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    max_tokens: Annotated[int, Field(ge=1), WHOLE_NUMBER] | None = None
    stop: StopString | Annotated[list[StopString], Field(max_length=MAX_STOPS)] | None = None
    seed: Annotated[int, Field(ge=-MAX_INTEGER, le=MAX_INTEGER), WHOLE_NUMBER] | None = None
    n: Annotated[int, Field(ge=1, le=MAX_CHOICES), WHOLE_NUMBER] | None = 1

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop strings."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())


class WithoutEffect(RequestBody):
    """What clients send and no answer here depends on."""

    user: Ignored | None = None
    safety_identifier: Ignored | None = None
    prompt_cache_key: Ignored | None = None
    prompt_cache_retention: Ignored | None = None
    service_tier: Ignored | None = None
    reasoning_effort: Ignored | None = Field(None, description="no model here thinks before")
    metadata: dict[str, Any] | None = None


class ChatRequest(Sampling, WithoutEffect):
    """A conversation to answer. What is left out comes from the task that answers."""

    model: Name = Field(description="`auto`, which routes, or an adapter, or the base")
    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=MAX_MESSAGES)]
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    max_completion_tokens: Annotated[int, Field(ge=1), WHOLE_NUMBER] | None = None
    logprobs: bool | None = False
    top_logprobs: Annotated[int, Field(ge=0, le=20), WHOLE_NUMBER] | None = None
    response_format: ResponseFormat | None = None
    continue_final_message: bool | None = Field(
        None, description="go on with the last message, by the assistant; of raw messages alone"
    )
    add_generation_prompt: Annotated[Literal[False], BeforeValidator(_truth)] | None = Field(
        None, description="goes with continue_final_message, as vLLM has it"
    )
    modalities: list[Literal["text"]] | None = None
    tools: Annotated[list[OfferedTool], Field(max_length=MAX_TOOLS)] | None = None
    functions: NoFunctions | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    function_call: NoFunctionCall | None = None
    parallel_tool_calls: bool | None = None
    patchbay: PatchbayOptions | None = None

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "model": "auto",
                    "messages": [{"role": "user", "content": "Translate into French: Good night."}],
                }
            ]
        }
    )


class RouteRequest(RequestBody):
    """A request to route and not to answer."""

    input: RequestText
    content: RequestText | None = Field(
        None, description="the text to work on, where it comes apart; none of it is an instruction"
    )
    history: Annotated[list[ChatMessage], Field(max_length=MAX_MESSAGES)] | None = Field(
        None, description="earlier turns, oldest first"
    )


class ClassifyRequest(RequestBody):
    """A text to find the label of."""

    input: RequestText
    task: Name | None = Field(None, description="a task that chooses; `classification` if left out")
    labels: (
        Annotated[
            list[Label],
            Field(min_length=2, max_length=MAX_LABELS, json_schema_extra={"uniqueItems": True}),
            AfterValidator(_distinct),
        ]
        | None
    ) = Field(None, description="labels of your own, for tasks that take them")
