"""The still parts of the page: header, list of conversations, first page, composer."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path

from core import paths
from tasks.spec import Both, TaskSpec
from ui.conversation import MAX_INSTRUCTIONS
from ui.icons import icon
from ui.words import LANGUAGES, attributes, phrase, say, show

EXAMPLE_SHOWN = 110  # characters of an example on its card; all of it is sent


def draw_header(base: str, profile: str, terms: str = "") -> str:
    """Name, what answers, and the switches for language and colours.

    Args:
        terms: address of the base's licence, where it restricts use.
    """
    note = say("app.fake") if base == "fake" else say("app.small")
    short = base.rpartition("/")[2]
    link = f'<span><a href="{escape(terms)}" rel="noreferrer">{say("app.terms")}</a></span>'
    licence = link if terms else ""
    languages = "".join(
        f'<button type="button" data-act="language" data-language="{code}">{name}</button>'
        for code, name in zip(LANGUAGES, ("English", "中文"), strict=True)
    )
    return f"""<header class="pb-header">
<button type="button" class="pb-act pb-menu" data-act="menu" aria-expanded="false">
{icon("menu")}<span class="pb-tip">{say("menu.open")}</span></button>
<h1 class="pb-brand">{icon("mark")}Patchbay</h1>
<p class="pb-base"><b title="{escape(base)}">{escape(short)}</b>
<span>{escape(profile)}</span>{licence}<em>{note}</em></p>
<div class="pb-switches">
<div class="pb-segment" role="group" {attributes(aria_label="language.choose")}>{languages}</div>
<button type="button" class="pb-act" data-act="theme">{icon("theme")}
<span class="pb-tip">{say("theme.change")}</span></button>
</div></header>"""


def draw_list() -> str:
    """The frame for the list of conversations; the script fills it from the browser's storage."""
    return f"""<nav class="pb-list" {attributes(aria_label="chats.title")}>
<button type="button" class="pb-new" data-act="fresh">{icon("plus")}{say("chats.new")}</button>
<a class="pb-tables" href="tables/">{icon("table")}{say("tables.link")}</a>
<ul class="pb-chats"></ul>
<p class="pb-none">{say("chats.none")}</p>
<p class="pb-where">{say("chats.where")}
<button type="button" class="pb-plain" data-act="clear"><span class="pb-first">{say("chats.clear")}
</span><span class="pb-sure">{say("chats.sure")}</span></button></p>
<template id="pb-chat"><li>
<button type="button" class="pb-chat" dir="auto" data-act="open"></button>
<button type="button" class="pb-act" data-act="forget">{icon("delete")}
<span class="pb-tip">{say("chats.delete")}</span></button></li></template>
</nav>"""


def draw_welcome(tasks: Mapping[str, TaskSpec]) -> str:
    """What a first visitor sees: an invitation, and an example for every task."""
    # Chat first, then what writes, then what chooses.
    order = sorted(tasks.values(), key=lambda task: (not task.conversation, task.kind == "choose"))
    cards = [
        _card(
            task.title, task.description, {lang: texts[0] for lang, texts in task.examples.items()}
        )
        for task in order
        if task.examples
    ]
    several = phrase("empty.several.example").model_dump()
    cards.append(_card(phrase("empty.several"), phrase("empty.several.text"), several))
    return f"""<section class="pb-welcome"><h2>{say("empty.title")}</h2>
<p>{say("empty.text")}</p><div class="pb-cards">{"".join(cards)}</div></section>"""


def draw_composer(kept_in: Path, copied_to: str = "") -> str:
    """Where requests are written, and the notice of what is kept.

    Args:
        copied_to: the data set that has a copy, if any.
    """
    box = attributes(aria_label="box.label", placeholder="box.placeholder")
    lost = ".lost" if paths.loses_disk() and not copied_to else ""
    kind = "kept.copied" if copied_to else "kept.lost" if lost else "kept.notice"
    notice = phrase(kind, path=_short(kept_in), name=copied_to)
    short = icon("info") + say("kept.short" + lost)
    return f"""<form class="pb-composer" autocomplete="off">
<p class="pb-editing" hidden>{say("box.editing")}
<button type="button" class="pb-plain" data-act="cancel">{say("box.cancel")}</button></p>
<div class="pb-box"><textarea id="pb-text" rows="1" dir="auto" {box}></textarea>
<button type="button" class="pb-send" data-act="send" disabled>{icon("send")}
<span class="pb-hidden">{say("box.send")}</span></button>
<button type="button" class="pb-stop" data-act="stop">{icon("stop")}
<span class="pb-hidden">{say("box.stop")}</span></button></div>
<p class="pb-problem" role="alert" hidden><span class="pb-lost">{say("error.lost")}</span>
<span class="pb-full">{say("error.storage")}</span>
<span class="pb-long">{say("error.long")}</span></p>
<div class="pb-under"><span class="pb-keys">{say("box.keys")}</span>
{_instructions()}
<details><summary>{short}</summary><p>{show(notice)}</p></details></div>
</form>"""


def _instructions() -> str:
    box = attributes(aria_label="own.label", placeholder="own.placeholder")
    return f"""<details class="pb-own"><summary>{icon("own")}{say("own.title")}</summary>
<div><label for="pb-own">{say("own.text")}</label>
<textarea id="pb-own" rows="4" dir="auto" maxlength="{MAX_INSTRUCTIONS}" {box}></textarea>
<span class="pb-soft">{say("own.length", most=MAX_INSTRUCTIONS)}</span></div></details>"""


def _card(title: Both, text: Both, examples: Mapping[str, str]) -> str:
    buttons = "".join(
        f'<button type="button" lang="{language}" data-act="example" '
        f'data-text="{escape(example)}"><span>{escape(_cut(example))}</span></button>'
        for language, example in examples.items()
    )
    return f'<div class="pb-card"><h3>{show(title)}</h3><p>{show(text)}</p>{buttons}</div>'


def _cut(text: str) -> str:
    return text if len(text) <= EXAMPLE_SHOWN else text[: EXAMPLE_SHOWN - 1].rstrip() + "…"


def _short(path: Path) -> str:
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)
