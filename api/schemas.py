"""What goes in and out over HTTP, in OpenAI's shapes; `patchbay` holds what is ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)

from agent.cleaning import MAX_CHARACTERS
from agent.plan import Reason
from core.errors import InputError
from tasks.spec import Message

MAX_MESSAGES = 512
MAX_LABELS = 100
MAX_INTEGER = 2**53 - 1  # the largest that every reader of JSON keeps exact


def _whole(value: object) -> object:
    """JSON has one kind of number: 5.0 is an integer, too."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE_NUMBER = BeforeValidator(_whole)
OMITTED_IF_NONE = Field(exclude_if=lambda value: value is None)
Name = Annotated[str, Field(min_length=1, max_length=200)]
MessageText = Annotated[str, Field(max_length=MAX_CHARACTERS)]
StopString = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Label = Annotated[str, StringConstraints(min_length=1, max_length=100)]


def _distinct(labels: list[str]) -> list[str]:
    if len(set(labels)) < len(labels):
        raise ValueError("a label is there twice")
    return labels


RequestText = Annotated[str, StringConstraints(min_length=1, max_length=MAX_CHARACTERS)]


class RequestBody(BaseModel):
    """A request's body. What is not known here may be there as null, and as nothing else."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)
    __pydantic_extra__: dict[str, None]


class TextPart(RequestBody):
    """A piece of a message."""

    type: Literal["text"]
    text: MessageText


class ChatMessage(RequestBody):
    """One turn of a conversation. `developer` is read as `system`."""

    role: Literal["system", "developer", "user", "assistant"]
    content: MessageText | Annotated[list[TextPart], Field(min_length=1, max_length=64)]
    name: Annotated[str, Field(max_length=200)] | None = None

    @property
    def text(self) -> str:
        """The content as one text."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content)

    @property
    def request(self) -> tuple[str, str | None]:
        """What is asked, and the text to work on where it comes as parts of its own."""
        if isinstance(self.content, str):
            return self.content, None
        first, *others = (part.text for part in self.content)
        return first, "\n\n".join(others) or None


def as_messages(given: Sequence[ChatMessage]) -> list[Message]:
    """The turns as the agent reads them.

    Raises:
        InputError: together they are longer than any context.
    """
    size = sum(len(message.text) for message in given)
    if size > MAX_CHARACTERS:
        raise InputError(
            f"The messages have {size:,} characters; at most {MAX_CHARACTERS:,} can be read. "
            "Leave the oldest out."
        )
    return [
        {
            "role": "system" if message.role == "developer" else message.role,
            "content": message.text,
        }
        for message in given
    ]


class StreamOptions(RequestBody):
    """What a stream holds beside the answer."""

    include_usage: bool | None = None


class ResponseFormat(RequestBody):
    """The form of the answer: text."""

    type: Literal["text"]


class ChatRequest(RequestBody):
    """A conversation to answer. What is left out comes from the task that answers."""

    model: Name = Field(description="`auto`, which routes, or an adapter, or the base")
    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=MAX_MESSAGES)]
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    repetition_penalty: Annotated[float, Field(ge=0.5, le=3)] | None = None
    max_tokens: Annotated[int, Field(ge=1), WHOLE_NUMBER] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1), WHOLE_NUMBER] | None = None
    stop: StopString | Annotated[list[StopString], Field(max_length=4)] | None = None
    seed: Annotated[int, Field(ge=-MAX_INTEGER, le=MAX_INTEGER), WHOLE_NUMBER] | None = None
    n: Annotated[int, Field(ge=1, le=1), WHOLE_NUMBER] | None = 1
    logprobs: bool | None = False
    top_logprobs: Annotated[int, Field(ge=0, le=20), WHOLE_NUMBER] | None = None
    frequency_penalty: Annotated[float, Field(ge=0, le=0)] | None = None
    presence_penalty: Annotated[float, Field(ge=0, le=0)] | None = None
    response_format: ResponseFormat | None = None
    user: Annotated[str, Field(max_length=200)] | None = Field(None, description="not used")

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


class ErrorDetail(BaseModel):
    """What was wrong, and what to do."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorResponse(BaseModel):
    """Every error has this shape."""

    error: ErrorDetail


class ModelAbout(BaseModel):
    """Ours about a model."""

    kind: Literal["router", "base", "adapter"]
    tasks: list[str]
    fingerprint: str | None


class Model(BaseModel):
    """Something that can answer."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: Literal["patchbay"] = "patchbay"
    patchbay: ModelAbout


class ModelList(BaseModel):
    """Everything that the key may ask."""

    object: Literal["list"] = "list"
    data: list[Model]


class CompletionUsage(BaseModel):
    """Tokens read and written; a task that chooses writes none."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0


class RoutedStep(BaseModel):
    """A step of a plan."""

    task: str
    confidence: float = Field(description="calibrated probability that the task is right")
    slots: dict[str, str | list[str]]
    nearest: str = Field(description="the sample request most like what was asked")
    text: str | None = Field(description="what it works on; null is the result of the step before")


class Alternative(BaseModel):
    """Another plan that the request may have meant."""

    tasks: list[str]
    confidence: float


class Route(BaseModel):
    """A plan."""

    steps: list[RoutedStep]
    confidence: float = Field(description="that of the least certain step")
    reason: Reason
    milliseconds: float
    question: str | None = Field(description="what is asked back instead; null: nothing is")
    alternatives: list[Alternative] = Field(description="the next likeliest plans")


class AnsweredStep(BaseModel):
    """A step that was run. Of an answer that was not routed the task is null."""

    task: str | None
    confidence: float
    slots: dict[str, str | list[str]]
    adapter: str | None = Field(description="null is the bare base")
    text: str
    labels: dict[str, float] = Field(description="label -> probability, the likeliest first")
    stopped: str
    tokens: int
    seconds: float
    first_token: float
    fingerprints: dict[str, str]
    notices: list[str]


class Provenance(BaseModel):
    """What answered: the route that was taken and every fingerprint."""

    reason: Reason | None = Field(description="who decided the route; null: nothing was routed")
    alternatives: list[Alternative] = Field(description="the next likeliest plans, not taken")
    seed: int = Field(description="of the sampling; with it the answer can be had again")
    steps: list[AnsweredStep]


class TopLogprob(BaseModel):
    """A token that could have stood there."""

    token: str
    logprob: float
    bytes: list[int] | None


class TokenLogprob(TopLogprob):
    """A token that was written."""

    top_logprobs: list[TopLogprob]


class Logprobs(BaseModel):
    """The written tokens, under the model as it stands: before temperature and penalties."""

    content: list[TokenLogprob]
    refusal: None = None


class AnswerMessage(BaseModel):
    """The answer's text."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


class AnswerChoice(BaseModel):
    """The one answer."""

    index: Literal[0] = 0
    message: AnswerMessage
    logprobs: Logprobs | None
    finish_reason: Literal["stop", "length"]


class ChatCompletion(BaseModel):
    """An answer."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[AnswerChoice]
    usage: CompletionUsage
    system_fingerprint: str
    patchbay: Provenance


class ChoiceDelta(BaseModel):
    """More of the answer."""

    role: Annotated[Literal["assistant"] | None, OMITTED_IF_NONE] = None
    content: Annotated[str | None, OMITTED_IF_NONE] = None


class ChunkChoice(BaseModel):
    """A piece of the one answer."""

    index: Literal[0] = 0
    delta: ChoiceDelta
    logprobs: Logprobs | None = None
    finish_reason: Literal["stop", "length"] | None = None


class ChatChunk(BaseModel):
    """A piece of a streamed answer; the last one has `patchbay`."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: Annotated[CompletionUsage | None, OMITTED_IF_NONE] = None
    system_fingerprint: Annotated[str | None, OMITTED_IF_NONE] = None
    patchbay: Annotated[Provenance | None, OMITTED_IF_NONE] = None


class Classified(BaseModel):
    """A text's label."""

    label: str
    labels: dict[str, float] = Field(description="label -> probability, the likeliest first")
    usage: CompletionUsage
    patchbay: Provenance


class Health(BaseModel):
    """How the server is."""

    status: Literal["ok", "ready", "draining", "full"]


def _chunk_schema() -> tuple[dict[str, Any], dict[str, Any]]:
    schema = ChatChunk.model_json_schema(
        mode="serialization", ref_template="#/components/schemas/{model}"
    )
    return schema, schema.pop("$defs")


_CHUNK, _PARTS = _chunk_schema()
STREAM_SCHEMAS = {"ChatChunk": _CHUNK, **_PARTS}  # for the OpenAPI, which has no model of a stream
STREAM_EVENT = {
    "type": "object",
    "required": ["data"],
    "properties": {
        "data": {
            "anyOf": [
                {"const": "[DONE]"},
                {
                    "type": "string",
                    "contentMediaType": "application/json",
                    "contentSchema": {
                        "anyOf": [
                            {"$ref": "#/components/schemas/ChatChunk"},
                            {"$ref": "#/components/schemas/ErrorResponse"},
                        ]
                    },
                },
            ]
        }
    },
}
