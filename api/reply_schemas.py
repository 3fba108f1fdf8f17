"""What comes out over HTTP, in OpenAI's shapes; `patchbay` holds what is ours."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from agent.events import Measured
from agent.plan import Reason

OMITTED_IF_NONE = Field(exclude_if=lambda value: value is None)


class ErrorDetail(BaseModel):
    """What was wrong, and what to do."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorResponse(BaseModel):
    """Every error has this shape."""

    error: ErrorDetail


class MeasuredFigure(BaseModel):
    """How answers were judged, with what is served, on rows that nothing was trained on."""

    figure: str = Field(description="bleu, accuracy, rouge_1")
    value: float
    low: float = Field(description="of the 95% interval")
    high: float
    rows: int = Field(description="that were judged")
    texts: str = Field(description="what they were")
    base: float | None = Field(description="the bare base's; null: not judged")
    language: str | None = Field(description="of the texts; null: see `slots`")
    slots: dict[str, str] = Field({}, description="steps that it speaks of, of a model")

    @classmethod
    def of(cls, one: Measured, slots: dict[str, str] | None = None) -> MeasuredFigure:
        """A figure as the events have it."""
        return cls(**vars(one) | {"texts": one.texts.en}, slots=slots or {})


class ModelAbout(BaseModel):
    """Ours about a model."""

    kind: Literal["router", "base", "adapter", "encoder"]
    tasks: list[str]
    fingerprint: str | None
    languages: list[str] = Field([], description="ISO 639-1 codes; empty: not limited")
    measured: list[MeasuredFigure] = []
    trained: str = Field("", description="date, UTC")
    data: dict[str, str] = Field({}, description="data set it was trained on -> its licence")
    size: int = Field(0, description="bytes on disk")
    promoted: bool = False


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
    uncertain: bool = Field(description="a person would be asked which of the plans is meant")
    reason: Reason
    milliseconds: float
    question: str | None = Field(description="what is asked back instead; null: nothing is")
    alternatives: list[Alternative] = Field(description="the next likeliest plans")


class AnswerSource(BaseModel):
    """Where a sentence of an answer comes from, or a verdict on a part of the text. All positions
    are in characters.
    """

    begin: int = Field(description="of the sentence, in the step's text; 0 for a verdict")
    end: int
    label: str = Field(description="the part's own; empty for a sentence")
    probability: float
    place: list[int] | None = Field(
        description="begin and end in the text that was read; null where no single place says it"
    )
    page: int | None
    paragraph: int | None = Field(description="its number, from 1")
    heading: str
    words: str = Field(description="what stands there")


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
    notices: list[str] = Field(description="what is to be known before the answer, and behind it")
    measured: list[MeasuredFigure] = Field([], description="the figures most alike first")
    probability: float | None = Field(
        None, description="of a written token, their geometric mean, or of the label"
    )
    parts_read: int = Field(0, description="of a long text that was read in parts; 0: it was not")
    parts: int = Field(0, description="how many there are")
    sources: list[AnswerSource] = Field([], description="where a long text's answer comes from")


class Provenance(BaseModel):
    """What answered: the route that was taken and every fingerprint."""

    reason: Reason | None = Field(description="who decided the route; null: nothing was routed")
    uncertain: bool = Field(
        description="the router was not sure: the likeliest plan was taken, where a person would "
        "have been asked which is meant"
    )
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


class CalledFunction(BaseModel):
    """A function's name, and its arguments in JSON."""

    name: str
    arguments: str


class AnswerToolCall(BaseModel):
    """A call of a tool."""

    id: str
    type: Literal["function"] = "function"
    function: CalledFunction


class AnswerMessage(BaseModel):
    """The answer's text, or null and the tools that it calls."""

    role: Literal["assistant"] = "assistant"
    content: str | None
    refusal: None = None
    tool_calls: Annotated[list[AnswerToolCall] | None, OMITTED_IF_NONE] = None


ChatFinish = Literal["stop", "length", "tool_calls"]


class AnswerChoice(BaseModel):
    """One of `n` answers."""

    index: int = 0
    message: AnswerMessage
    logprobs: Logprobs | None
    finish_reason: ChatFinish


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


class ToolCallDelta(AnswerToolCall):
    """A call of a tool, which comes whole; `index` is its place among those of the answer."""

    index: int


class ChoiceDelta(BaseModel):
    """More of the answer."""

    role: Annotated[Literal["assistant"] | None, OMITTED_IF_NONE] = None
    content: Annotated[str | None, OMITTED_IF_NONE] = None
    tool_calls: Annotated[list[ToolCallDelta] | None, OMITTED_IF_NONE] = None


class ChunkChoice(BaseModel):
    """A piece of one of `n` answers."""

    index: int = 0
    delta: ChoiceDelta
    logprobs: Logprobs | None = None
    finish_reason: ChatFinish | None = None


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
