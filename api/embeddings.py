"""POST /v1/embeddings: texts -> unit vectors, by a sentence encoder."""

from __future__ import annotations

import base64

from fastapi import APIRouter, Request

from agent.agent import Agent
from api.background_turn import Turns
from api.errors import ApiError, documented
from api.text_schemas import Embedding, EmbeddingList, EmbeddingRequest, EmbeddingUsage
from core.access import Visitor
from core.errors import UnknownName
from engine.encoder import Vectors

ERRORS = documented(400, 401, 404, 413, 422, 429, 500, 503)


def embedding_routes(router: APIRouter, agent: Agent, turns: Turns) -> None:
    """Add the one operation."""

    @router.post("/v1/embeddings", responses=ERRORS)
    async def embeddings(request: Request, body: EmbeddingRequest) -> EmbeddingList:
        """Put texts into vectors whose inner product says how near they are."""
        visitor: Visitor = request.state.visitor
        encoder = agent.encoder
        if body.model != encoder.id:
            raise UnknownName("encoder", body.model[:100], [encoder.id])
        if body.dimensions not in {None, encoder.dimensions}:
            raise ApiError(
                400,
                f"dimensions is {body.dimensions}, and the encoder has {encoder.dimensions}. Leave "
                "it out.",
                param="dimensions",
            )
        texts = [body.input] if isinstance(body.input, str) else body.input
        vectors, tokens = await turns.call(visitor.name, lambda: encoder.embed(texts))
        request.state.log_fields |= {"model": body.model, "prompt_tokens": tokens}
        return EmbeddingList(
            model=body.model,
            data=_listed(vectors, as_base64=body.encoding_format == "base64"),
            usage=EmbeddingUsage(prompt_tokens=tokens, total_tokens=tokens),
        )


def _listed(vectors: Vectors, as_base64: bool) -> list[Embedding]:
    return [
        Embedding(
            index=index,
            embedding=(
                base64.b64encode(row.astype("<f4").tobytes()).decode()
                if as_base64
                else row.tolist()
            ),
        )
        for index, row in enumerate(vectors)
    ]
