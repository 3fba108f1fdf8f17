"""GET /v1/models: what can answer, and by which name."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress

from fastapi import APIRouter, Request

from agent.agent import Agent
from agent.inventory import AdapterFacts, adapter_facts, base_facts
from api.errors import documented
from api.reply_schemas import (
    MeasuredFigure,
    Model,
    ModelAbout,
    ModelList,
)
from core.access import Visitor
from core.errors import UnknownName

AUTO = "auto"  # routes
MAX_NAME_SHOWN = 100  # characters of a name that is not known


def model_routes(router: APIRouter, agent: Agent) -> None:
    """Add the list, and one of it."""
    started = int(time.time())

    @router.get("/v1/models", responses=documented(401, 429))
    async def list_models(request: Request) -> ModelList:
        """The router, the base, each adapter that the key may use, and the encoder."""
        return ModelList(data=list(_models(agent, request.state.visitor, started)))

    @router.get("/v1/models/{model:path}", responses=documented(401, 404, 429, "4XX"))
    async def retrieve_model(request: Request, model: str) -> Model:
        """One of them by its name."""
        models = {one.id: one for one in _models(agent, request.state.visitor, started)}
        if model not in models:
            raise UnknownName("model", model[:MAX_NAME_SHOWN], models)
        return models[model]


def adapter_of(model: str, agent: Agent) -> str | None:
    """The adapter that a model's name asks for; None for the base, and for `auto`.

    Raises:
        UnknownName: there is no such model.
        AdapterError: there is, and it was refused.
    """
    base, adapters = _base(agent), agent.engine.adapters.names()
    if model in {AUTO, base}:
        return None
    if model not in adapters:
        with suppress(UnknownName):  # else it says why, if it is there and was refused
            agent.engine.adapters.fingerprint(model)
        raise UnknownName("model", model[:MAX_NAME_SHOWN], [AUTO, base, *adapters])
    return model


def _base(agent: Agent) -> str:
    return agent.engine.fingerprints()["base"]


def _about(facts: AdapterFacts) -> ModelAbout:
    return ModelAbout(
        kind="adapter",
        tasks=[facts.task.name] if facts.task else [],
        fingerprint=facts.fingerprint,
        languages=list(facts.languages),
        measured=[MeasuredFigure.of(one, slots) for one, slots in facts.measured],
        trained=facts.trained,
        data={one.name: one.licence for one in facts.data},
        size=facts.size,
        promoted=facts.promoted,
    )


def _models(agent: Agent, visitor: Visitor, started: int) -> Iterator[Model]:

    def model(name: str, about: ModelAbout) -> Model:
        return Model(id=name, created=started, patchbay=about)

    yield model(AUTO, ModelAbout(kind="router", tasks=list(agent.tasks), fingerprint=None))
    base = base_facts(agent)
    about = ModelAbout(kind="base", tasks=[], fingerprint=None, languages=list(base.languages))
    yield model(base.name, about)
    for facts in adapter_facts(agent, visitor.allowed):
        yield model(facts.name, _about(facts))
    encoder = ModelAbout(kind="encoder", tasks=[], fingerprint=None)
    yield model(agent.encoder.id, encoder)
