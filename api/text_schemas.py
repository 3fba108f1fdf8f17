"""What goes in and out of /v1/completions and /v1/embeddings, in OpenAI's shapes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, field_validator
from pydantic_core import PydanticCustomError

from agent.cleaning import MAX_CHARACTERS
from api.reply_schemas import (
    OMITTED_IF_NONE,
    CompletionUsage,
    Provenance,
)
from api.schemas import (
    WHOLE_NUMBER,
    Name,
    RequestText,
    Sampling,
    StreamOptions,
    WithoutEffect,
)

MAX_PROMPTS = 64  # of one request
MAX_INPUTS = 256
TokenId = Annotated[int, Field(ge=0, le=2**31), WHOLE_NUMBER]
TokenIds = Annotated[list[TokenId], Field(min_length=1, max_length=MAX_CHARACTERS)]
PromptText = Annotated[str, Field(max_length=MAX_CHARACTERS)]


class CompletionRequestBody(Sampling, WithoutEffect):
    """A text to go on from, or several, as they stand: no task, no chat template."""

    model: Name = Field(description="an adapter, or the base")
    prompt: (
        PromptText
        | TokenIds
        | Annotated[list[PromptText], Field(min_length=1, max_length=MAX_PROMPTS)]
        | Annotated[list[TokenIds], Field(min_length=1, max_length=MAX_PROMPTS)]
    ) = Field(description="text, token ids of the base, or lists of either")
    max_tokens: Annotated[int, Field(ge=0), WHOLE_NUMBER] | None = 16
    echo: bool | None = Field(False, description="the prompt comes before the answer")
    logprobs: Annotated[int, Field(ge=0, le=20), WHOLE_NUMBER] | None = Field(
        None, description="of each token, the prompt's too with `echo`, and of so many others"
    )
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    best_of: Annotated[int, Field(ge=1, le=1), WHOLE_NUMBER] | None = 1

    @property
    def prompts(self) -> list[str | list[int]]:
        """The prompts, each as text or as token ids."""
        match self.prompt:
            case str():
                return [self.prompt]
            case [int(), *_]:
                return [[token for token in self.prompt if isinstance(token, int)]]
            case _:
                return [one for one in self.prompt if not isinstance(one, int)]


class TextLogprobs(BaseModel):
    """Of each token, under the model as it stands; null is the first of a text."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None] | None
    text_offset: list[int]


class TextChoice(BaseModel):
    """One text, or a piece of it."""

    index: int
    text: str
    logprobs: TextLogprobs | None = None
    finish_reason: Literal["stop", "length"] | None = None


class TextCompletion(BaseModel):
    """Texts, or a piece of a stream of them; its last has `patchbay`."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: list[TextChoice]
    usage: Annotated[CompletionUsage | None, OMITTED_IF_NONE] = None
    system_fingerprint: Annotated[str | None, OMITTED_IF_NONE] = None
    patchbay: Annotated[Provenance | None, OMITTED_IF_NONE] = None


class EmbeddingRequest(WithoutEffect):
    """Texts to put into vectors."""

    model: Name = Field(description="the encoder, see GET /v1/models")
    input: RequestText | Annotated[list[RequestText], Field(min_length=1, max_length=MAX_INPUTS)]
    encoding_format: Literal["float", "base64"] | None = "float"
    dimensions: Annotated[int, Field(ge=1, le=100_000), WHOLE_NUMBER] | None = Field(
        None, description="those that the encoder has, and no others"
    )

    @field_validator("input", mode="before")
    @classmethod
    def _texts(cls, value: Any) -> Any:
        if isinstance(value, list) and any(isinstance(one, int | list) for one in value):
            raise PydanticCustomError(
                "token_ids",
                "token ids are those of another model: send texts (LangChain does so with "
                "check_embedding_ctx_length=False)",
            )
        return value


class Embedding(BaseModel):
    """A unit vector; base64 is that of its little-endian float32 numbers."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingUsage(BaseModel):
    """Tokens read."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(BaseModel):
    """A vector for each text, in their order."""

    object: Literal["list"] = "list"
    model: str
    data: list[Embedding]
    usage: EmbeddingUsage
