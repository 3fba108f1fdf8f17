"""The Serve application on this machine alone: no dashboard, no metrics exporter, no usage report.

python -m deploy.ray                              # what deploy/ray/serve.yaml says
python -m deploy.ray --config my.yaml --port 8080
"""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from core.paths import REPOSITORY

SERVE_CONFIG = Path(__file__).with_name("serve.yaml")
RAY_VARIABLES = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_enable_metrics_collection": "0",
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",  # a machine that loads models is slow
}


def main(
    config: Annotated[Path, typer.Option(help="in the form of `serve deploy`")] = SERVE_CONFIG,
    port: Annotated[int | None, typer.Option(help="port to listen on")] = None,
    cpus: Annotated[float | None, typer.Option(help="for Ray to share out; all when unset")] = None,
) -> None:
    """Serve until told to stop."""
    os.environ.update(RAY_VARIABLES)  # before ray is imported
    os.environ["PYTHONPATH"] = os.pathsep.join(
        filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH")))
    )
    import ray
    from ray import serve

    deployed = yaml.safe_load(config.read_text(encoding="utf-8"))
    http = deployed["http_options"] | ({"port": port} if port else {})
    ray.init(include_dashboard=False, num_cpus=cpus, log_to_driver=False)
    serve.start(http_options=http)
    for application in deployed["applications"]:
        serve.run(
            _with_options(application),
            name=application["name"],
            route_prefix=application["route_prefix"],
        )
    typer.echo(f"Ready: http://{http['host']}:{http['port']}")
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    ended.wait()
    serve.shutdown()
    ray.shutdown()


def _with_options(application: dict[str, Any]) -> Any:
    """The application with the options that the file gives its deployments."""
    from deploy.ray.application import ApiDeployment, EngineDeployment

    options = {one.pop("name"): one for one in application["deployments"]}
    flags = application["args"]
    engines = EngineDeployment.options(**options["Engine"]).bind(flags["engine"])
    return ApiDeployment.options(**options["Api"]).bind(engines, flags["api"])


if __name__ == "__main__":
    typer.run(main)
