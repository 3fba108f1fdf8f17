"""The page: lay the parts out in Gradio Blocks and tie their events to the handlers."""

from __future__ import annotations

import os

# Gradio reads these when it is imported: it must not call home.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

from collections.abc import Callable
from typing import Any

import gradio as gr
from fastapi import FastAPI
from starlette.middleware import Middleware

from agent.agent import Agent
from agent.feedback.hub_backup import HubBackup
from agent.feedback.store import Feedback
from agent.inventory import adapters_by_task, ignores_instructions
from core.access import Keys
from core.json_values import ValuesLimit
from core.settings import Settings
from ui.adapters_page import mount_adapters
from ui.attach import attach_route, rewrite_route
from ui.chats import draw_list
from ui.endpoints import add_endpoints
from ui.frame import draw_composer, draw_header, draw_welcome
from ui.handlers import PageHandlers
from ui.login import Gate, Login
from ui.mounting import LOOKS, UI_FOLDER, head, name_in, still
from ui.owner import owner_by
from ui.safety import Shield
from ui.tables_app import mount_tables
from ui.translated_files import draw_beside
from ui.workshop_page import mount_workshop

STYLE_SHEETS = (
    "style.css",
    "frame.css",
    "chats.css",
    "start.css",
    "files.css",
    "beside.css",
    "commands.css",
    "answers.css",
    "quality.css",
    "better.css",
    "answer_as.css",
    "consent.css",
    "narrow.css",
)
PAGE_SCRIPTS = (
    "store.js",
    "looks.js",
    "versions.js",
    "originals.js",
    "save.js",
    "beside.js",
    "attach.js",
    "drafts.js",
    "commands.js",
    "transfer.js",
    "chats.js",
    "scroll.js",
    "running.js",
    "copy.js",
    "consent.js",
    "better.js",
    "use.js",
    "into.js",
    "wishes.js",
    "page.js",
)
LATEX: list[dict[str, str | bool]] = [
    {"left": "$$", "right": "$$", "display": True},
    {"left": "\\[", "right": "\\]", "display": True},
    {"left": "\\(", "right": "\\)", "display": False},
]
# Gradio remembers what the latest sessions show, for a feature not used here: so, hardly any.
MAX_SESSIONS = 32
MAX_GRADIO_EVENTS = 10_000  # events of Gradio's own queue, which our limits keep short
OTHER_THREADS = 40  # for all that does not wait, as many as Gradio takes by itself
# The script calls these by name through the bridge; Gradio finds them as quoted words.
BRIDGE = """patchbay.connect(trigger,
    ['send', 'retry', 'reroute', 'pick', 'more', 'undo', 'rate', 'open', 'stop']);
    watch('value', () => patchbay.take(props.value));"""


def build_page(
    agent: Agent,
    *,
    profile: str = "",
    terms: str = "",
    feedback: Feedback | None = None,
    keys: Keys | None = None,
    backup: HubBackup | None = None,
) -> gr.Blocks:
    """The whole page around an agent.

    Args:
        agent: answers; shared by all visitors.
        profile: name of the settings in use, for the header.
        terms: address of the base's licence, where it restricts use.
        feedback: where likes and corrections go; by default the person's own folder.
        keys: which adapters may answer whom.
        backup: the copy of the feedback, if there is one.
    """
    feedback = feedback or Feedback()
    handlers = PageHandlers(agent, feedback, keys or Keys({}), backup)
    prints = agent.engine.fingerprints()
    loaded = prints.get("quantization", ""), len(agent.engine.adapters.names())
    page = gr.Blocks(title="Patchbay", fill_width=True, analytics_enabled=False)
    with page:
        # The composer comes first for the tab key and for screen readers; a grid places it.
        copies = backup.name if backup else ""
        composer = draw_composer(
            agent.tasks,
            feedback.file,
            copies,
            adapters=adapters_by_task(agent),
            untaught=ignores_instructions(agent),
            longest=agent.limits.max_answer_tokens,
        )
        still("pb-bottom", composer + draw_beside())
        still("pb-top", draw_header(prints.get("base", ""), profile, terms, loaded))
        still("pb-side", draw_list())
        still("pb-first", draw_welcome(agent.tasks))
        chat = gr.Chatbot(
            elem_id="pb-chat-log",
            show_label=False,
            container=False,
            height="100%",
            layout="panel",
            buttons=[],
            autoscroll=False,  # see scroll.js
            feedback_options=None,
            latex_delimiters=LATEX,
            allow_tags=False,
        )
        bridge = gr.HTML(None, elem_id="pb-bridge", html_template="", js_on_load=BRIDGE)
        # Where earlier versions kept the conversation that was open.
        before = gr.BrowserState({}, storage_key="patchbay.open", secret="patchbay")
        _tie(page, handlers, bridge=bridge, chat=chat, before=before)
        add_endpoints(agent, keys or Keys({}))
    return page


def as_app(
    page: gr.Blocks, agent: Agent, keys: Keys, settings: Settings, feedback: Feedback
) -> FastAPI:
    """The page as an ASGI app, the page for tables beside it. Nothing is shared, or fetched from
    elsewhere. Programs can call the named endpoints, which are tools over MCP where nobody need log
    in.

    Args:
        keys: with any, visitors log in with a name and its key, or else with Hugging Face.
        agent, feedback: as in `build_page`.

    Raises:
        SettingsError: see `Login.attach`.
    """
    login = Login(settings.hf_users) if settings.hf_login else None
    guards = [
        Middleware(Shield, locked=bool(keys) and login is None),
        Middleware(ValuesLimit),
    ]
    # A turn that waits for others holds a thread. Gradio's own queue would hold it back unseen.
    page.max_threads = settings.max_running + settings.max_waiting + OTHER_THREADS
    # Without a size Gradio's queue holds one event on ZeroGPU.
    page.queue(max_size=MAX_GRADIO_EVENTS, default_concurrency_limit=None, api_open=False)
    page.state_session_capacity = MAX_SESSIONS
    host = FastAPI(openapi_url=None, max_body_size=settings.max_request_bytes)
    if login:
        login.attach(host)
        guards.append(Middleware(Gate, login=login))
    logged_in = login.name if login else name_in(host) if keys else None
    profile = settings.profile
    mount_tables(host, agent, feedback, keys, profile=profile, name=logged_in)
    mount_adapters(host, agent, keys, profile=profile, name=logged_in)
    owner = owner_by(logged_in, settings.owners, settings.host)
    mount_workshop(host, agent, feedback, profile=profile, owner=owner)
    gr.mount_gradio_app(
        host,
        page,
        "/",
        auth=keys.login if keys and login is None else None,
        auth_dependency=login.name if login else None,
        mcp_server=not keys,
        max_file_size=0,
        favicon_path=UI_FOLDER / "icon.svg",
        head=head(STYLE_SHEETS, PAGE_SCRIPTS),
        app_kwargs={"middleware": guards, "routes": [attach_route(agent), rewrite_route(agent)]},
        **LOOKS,
    )
    return host


def _tie(
    page: gr.Blocks,
    handlers: PageHandlers,
    *,
    bridge: gr.HTML,
    chat: gr.Chatbot,
    before: gr.BrowserState,
) -> None:
    def on(event: str, call: Callable[..., Any], outputs: list[gr.Component], **more: Any) -> None:
        # The script hands in the conversation, and the bridge hands back what has changed of it.
        answered = getattr(bridge, event)(
            call,
            [bridge],
            outputs,
            js="() => patchbay.shown()",
            api_visibility="private",
            show_progress="hidden",
            **more,
        )
        answered.then(None, js="() => patchbay.idle()")

    for event in ("send", "retry", "reroute", "pick", "more"):
        on(event, getattr(handlers, event), [chat, bridge], concurrency_limit=None)
    on("rate", handlers.rate, [chat, bridge])
    for event in ("undo", "open"):
        on(event, getattr(handlers, event), [chat])
    bridge.stop(handlers.stop, api_visibility="private", queue=False, trigger_mode="multiple")
    page.load(None, [before], js="(kept) => patchbay.start(kept)")
    page.unload(handlers.stop)
