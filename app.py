"""Start Patchbay: `python app.py`, then open the address it prints. A Space runs the same file."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Annotated, Literal

import typer

from core.access import Keys
from core.errors import PatchbayError, SettingsError
from core.settings import Settings, load_settings, on_zero_gpu

EVERYWHERE = "0.0.0.0"  # a Space is itself behind a proxy


def main(
    profile: Annotated[str | None, typer.Option(help="auto, starter, gpu, or a YAML file")] = None,
    base: Annotated[str | None, typer.Option(help="base model: hub id or local folder")] = None,
    host: Annotated[str | None, typer.Option(help="address to listen on")] = None,
    port: Annotated[int | None, typer.Option(help="port to listen on")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads for the model")] = None,
    engine: Annotated[Literal["real", "fake"], typer.Option(hidden=True)] = "real",
) -> None:
    """Start the page. Everything else can be set in settings.yaml or by PATCHBAY_ variables."""
    started = time.perf_counter()
    if on_zero_gpu():
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # as for the page; this imports Gradio too
        import spaces  # noqa: F401  before all that looks for a GPU: it shows them one
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what ends with us gets to end
    try:
        settings = load_settings(profile=profile, base=base, host=host, port=port, threads=threads)
        settings = _for_a_space(settings)
        _check_login(settings)
        _check_port(settings)
        _serve(settings, engine == "fake", started)
    except PatchbayError as error:
        _give_up(str(error))
    except KeyboardInterrupt:
        _say("Stopped.")


def _serve(settings: Settings, fake: bool, started: float) -> None:
    _say(f"Profile {settings.profile} ({settings.origin('profile')})")
    from agent import build  # torch and gradio take seconds to import: after the checks
    from agent.feedback.hub_backup import HubBackup
    from agent.feedback.store import Feedback
    from api.app import Api
    from api.logs import start_log
    from api.server import Server, raise_file_limit
    from engine.starter import starter_named
    from ui.page import as_app, build_page
    from workshop.rows import ReviewStore
    from workshop.usage import UsageStore
    from workshop.watch import Watcher

    start_log(settings.log_words)
    raise_file_limit()
    feedback = Feedback()
    backup = HubBackup(settings.keep_in, feedback) if settings.keep_in else None
    if backup:
        _say(f"Bringing back what is kept in {backup.name}")
        backup.start()
    if fake:
        from engine.fake import FakeEngine

        agent = build.assemble(FakeEngine(delay=0.05), settings)
    else:
        agent = build.build_agent(settings, _say)
    try:
        keys = Keys(settings.api_keys, closed=settings.hf_login)
        starter = starter_named(agent.engine.fingerprints().get("base", ""))
        blocks = build_page(
            agent,
            profile=settings.profile,
            terms=starter.terms if starter else "",
            feedback=feedback,
            keys=keys,
            backup=backup,
        )
        page = as_app(blocks, agent, keys, settings, feedback=feedback)
        watcher = Watcher(
            UsageStore(),
            roll_back=settings.roll_back,
            reviewed=ReviewStore().done,
            feedback=feedback,
        )
        Server(
            Api(agent, settings, keys, watcher if settings.watch else None),
            page,
            settings,
            lambda address: _say(f"Ready in {time.perf_counter() - started:.1f} s: {address}"),
        ).run()
    finally:
        agent.close()
        if backup:
            backup.close()


def _for_a_space(settings: Settings) -> Settings:
    if "SPACE_ID" not in os.environ:
        return settings
    if settings.origin("hf_login") == "default":
        settings.hf_login = "OAUTH_CLIENT_ID" in os.environ  # its front matter asks for a login
    if settings.origin("host") == "default":
        settings.host = EVERYWHERE
        os.environ.setdefault("FORWARDED_ALLOW_IPS", "*")  # else all visitors are the proxy
    return settings


def _check_login(settings: Settings) -> None:
    """Outside a Space the login is a button that lets in whoever presses it.

    Raises:
        SettingsError: others than this machine could press it.
    """
    on_a_space = os.environ.get("SYSTEM") == "spaces"  # as gradio asks
    if settings.hf_login and not on_a_space and settings.host != "127.0.0.1":
        raise SettingsError(
            "hf_login is a login on a Hugging Face Space alone. Elsewhere it can be tried on "
            f"127.0.0.1, not on {settings.host}: use api_keys there."
        )


def _check_port(settings: Settings) -> None:
    """Find out now, not after the model has loaded.

    Raises:
        SettingsError: the port is taken, or the address is not one of this machine's.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise SettingsError(
                f"Cannot listen on {settings.host}:{settings.port}: {error.strerror or error}. "
                f"Choose another with --port, for example --port {settings.port + 1}."
            ) from error


def _say(line: str) -> None:
    print(line, flush=True)


def _give_up(message: str) -> None:
    print(f"{Path(sys.argv[0]).name}: {message}", file=sys.stderr)
    raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
