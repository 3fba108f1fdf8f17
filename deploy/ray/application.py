"""The Serve application: the API plans a request with its router, and its steps go to replicas."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import FastAPI
from ray import serve
from ray.serve import Application
from ray.serve.handle import DeploymentHandle

from agent.build import assemble
from api import app
from api.logs import start_log
from core.access import Keys
from core.settings import load_settings
from deploy.ray.handles import HandleEngine
from deploy.ray.replica import EngineReplica

EngineDeployment = serve.deployment(EngineReplica, name="Engine")


class ApiIngress:
    """The API of `api/app.py` around an agent whose engine is elsewhere."""

    async def __init__(  # type: ignore[misc]  # Serve waits for it
        self, engines: DeploymentHandle[Any], flags: dict[str, Any]
    ) -> None:
        settings = load_settings(**flags)
        start_log(settings.log_words)
        engine = HandleEngine(engines, await engines.info.remote())
        agent = await asyncio.to_thread(assemble, engine, settings)
        self._api = app.Api(agent, settings, Keys(settings.api_keys))

    def __serve_build_asgi_app__(self) -> FastAPI:
        """What Serve's proxy sends requests to."""
        return self._api.app


ApiDeployment = serve.deployment(serve.ingress()(ApiIngress), name="Api")


def build(flags: dict[str, dict[str, Any]]) -> Application:
    """The application; `flags` are settings of the `api` and of each `engine`."""
    return ApiDeployment.bind(EngineDeployment.bind(flags["engine"]), flags["api"])
