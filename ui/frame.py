"""The still parts of the page: header, list of conversations, first page, composer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from core import paths
from tasks.spec import Both, TaskSpec
from ui.conversation import MAX_INSTRUCTIONS
from ui.icons import icon
from ui.use import draw_use
from ui.wishes import draw_wishes
from ui.words import LANGUAGES, attributes, phrase, say, show

Loaded = tuple[str, int]
EXAMPLE_SHOWN = 110  # characters of an example on its card; all of it is sent


def draw_header(base: str, profile: str, terms: str = "", loaded: Loaded | None = None) -> str:
    """Name, what answers, and the switches for language and colours.

    Args:
        terms: address of the base's licence, where it restricts use.
        loaded: the base's quantization, and how many adapters it can be patched with.
    """
    note = say("app.fake") if base == "fake" else say("app.small")
    short = base.rpartition("/")[2]
    link = f'<span><a href="{escape(terms)}" rel="noreferrer">{say("app.terms")}</a></span>'
    licence = link if terms else ""
    figures = ""
    if loaded:
        quantization, count = loaded
        said = say("app.loaded", quantization=quantization, count=count)
        figures = f'<span class="pb-loaded">{said}</span>'
    languages = "".join(
        f'<button type="button" data-act="language" data-language="{code}">{name}</button>'
        for code, name in zip(LANGUAGES, ("English", "中文"), strict=True)
    )
    return f"""<header class="pb-header">
<button type="button" class="pb-act pb-menu" data-act="menu" aria-expanded="false">
{icon("menu")}<span class="pb-tip">{say("menu.open")}</span></button>
<h1 class="pb-brand">{icon("mark")}Patchbay</h1>
<p class="pb-base"><b title="{escape(base)}">{escape(short)}</b>
<span>{escape(profile)}</span>{figures}{licence}<em>{note}</em></p>
<div class="pb-switches">
<div class="pb-segment" role="group" {attributes(aria_label="language.choose")}>{languages}</div>
<button type="button" class="pb-act" data-act="theme">{icon("theme")}
<span class="pb-tip">{say("theme.change")}</span></button>
</div></header>"""


def draw_welcome(tasks: Mapping[str, TaskSpec]) -> str:
    """What a first visitor sees: an invitation, and an example for every task."""
    cards = [
        _card(
            task.title, task.description, {lang: texts[0] for lang, texts in task.examples.items()}
        )
        for task in _in_order(tasks)
        if task.examples
    ]
    several = phrase("empty.several.example").model_dump()
    cards.append(_card(phrase("empty.several"), phrase("empty.several.text"), several))
    return f"""<section class="pb-welcome"><h2>{say("empty.title")}</h2>
<p>{say("empty.text")}</p><div class="pb-cards">{"".join(cards)}</div></section>"""


def draw_composer(
    tasks: Mapping[str, TaskSpec],
    kept_in: Path,
    copied_to: str = "",
    adapters: Mapping[str, Sequence[str]] | None = None,
    untaught: str = "",
    longest: int = 4096,
) -> str:
    """Where requests are written, with the commands of the tasks, and the notice of what is kept.

    Args:
        copied_to: the data set that has a copy, if any.
        adapters: task -> those that can be chosen for it.
        untaught: the chat's adapter, where it was not trained with system prompts like a person's.
        longest: tokens of an answer at most.
    """
    box = attributes(aria_label="box.label", placeholder="box.placeholder")
    box += ' aria-autocomplete="list" aria-haspopup="listbox" aria-controls="pb-commands"'
    lost = ".lost" if paths.loses_disk() and not copied_to else ""
    kind = "kept.copied" if copied_to else "kept.lost" if lost else "kept.notice"
    notice = phrase(kind, path=_short(kept_in), name=copied_to)
    short = icon("info") + say("kept.short" + lost)
    return f"""<form class="pb-composer" autocomplete="off">
<p class="pb-editing" hidden>{say("box.editing")}
<button type="button" class="pb-plain" data-act="cancel">{say("box.cancel")}</button></p>
{_commands(tasks)}
<ul class="pb-files" hidden></ul>
<p class="pb-wish" hidden>{say("file.wish")}</p>
<template id="pb-file" {_told()}><li class="pb-file">
<button type="button" class="pb-open" data-act="unpack">{icon("file")}
<b class="pb-name" dir="auto"></b>
<span class="pb-soft pb-size"></span>
<span class="pb-soft pb-pages"><b></b> {say("file.pages")}</span>
<span class="pb-soft pb-tokens"><b></b> {say("file.tokens")}</span>
<span class="pb-soft pb-reading">{say("file.reading")}</span>
<span class="pb-tip">{say("file.edit")}</span></button>
<button type="button" class="pb-act" data-act="detach">{icon("close")}
<span class="pb-tip">{say("file.remove")}</span></button>
<p class="pb-remarks"></p><p class="pb-fault" role="alert"></p></li></template>
<div class="pb-box"><input type="file" id="pb-pick" multiple hidden>
<button type="button" class="pb-act" data-act="attach">{icon("attach")}
<span class="pb-tip">{say("file.attach")}</span></button>
<textarea id="pb-text" rows="1" dir="auto" {box}></textarea>
<button type="button" class="pb-send" data-act="send" disabled>{icon("send")}
<span class="pb-hidden">{say("box.send")}</span></button>
<button type="button" class="pb-stop" data-act="stop">{icon("stop")}
<span class="pb-hidden">{say("box.stop")}</span></button></div>
<p class="pb-problem" role="alert" hidden><span class="pb-lost">{say("error.lost")}</span>
<span class="pb-full">{say("error.storage")}
<button type="button" class="pb-plain" data-act="exportthis">{say("chats.this")}</button></span>
<span class="pb-long">{say("error.long")}</span></p>
<div class="pb-under"><span class="pb-keys">{say("box.keys")}</span>
{_options(draw_wishes(longest) + draw_use(tasks, adapters or {}), untaught)}
<details><summary>{short}</summary><p>{show(notice)}</p></details></div>
</form>"""


def _told() -> str:
    """What the script says of a file by itself, in both languages."""
    said = {kind: phrase(f"file.{kind}").model_dump() for kind in ("large", "lost", "long")}
    shown = escape(json.dumps(said, ensure_ascii=False))
    return f'data-told="{shown}" {attributes(data_pasted="file.pasted")}'


def _commands(tasks: Mapping[str, TaskSpec]) -> str:
    """The list that typing a slash offers; the script shows of it what fits."""
    options = [
        _command([*task.commands, task.name], task.title, task.description)
        for task in _in_order(tasks)
    ]
    options.append(_command(["help"], phrase("commands.help"), phrase("commands.help.text")))
    return f"""<ul id="pb-commands" class="pb-commands" role="listbox" hidden
{attributes(aria_label="commands.label")}>{"".join(options)}</ul>
<div class="pb-hidden" role="status"><p class="pb-found" hidden><b></b>
{say("commands.found")}</p></div>"""


def _command(names: Sequence[str], title: Both, description: Both) -> str:
    """An option of the list. All its names and titles find it, and the first name is written."""
    first = escape(names[0])
    return (
        f'<li role="option" id="pb-command-{first}" aria-selected="false" data-act="command" '
        f'data-names="{escape(" ".join(names))}"><code>/{first}</code>'
        f'<strong>{show(title)}</strong><span class="pb-soft">{show(description)}</span></li>'
    )


def _in_order(tasks: Mapping[str, TaskSpec]) -> list[TaskSpec]:
    """Chat first, then what writes, then what chooses."""
    return sorted(tasks.values(), key=lambda task: (not task.conversation, task.kind == "choose"))


def _options(more: str, untaught: str) -> str:
    warns = (
        f'<p class="pb-note pb-warn">{say("own.untaught", name=untaught)}</p>' if untaught else ""
    )
    box = attributes(aria_label="own.label", placeholder="own.placeholder")
    return f"""<details class="pb-own"><summary>{icon("own")}{say("own.title")}</summary>
<div><label for="pb-own">{say("own.text")}</label>{warns}
<textarea id="pb-own" rows="4" dir="auto" maxlength="{MAX_INSTRUCTIONS}" {box}></textarea>
<span class="pb-soft">{say("own.length", most=MAX_INSTRUCTIONS)}</span>{more}</div></details>"""


def _card(title: Both, text: Both, examples: Mapping[str, str]) -> str:
    buttons = "".join(
        f'<button type="button" lang="{language}" data-act="example" '
        f'data-text="{escape(example)}"><span>{escape(_cut(example))}</span></button>'
        for language, example in examples.items()
    )
    only = f' lang="{next(iter(examples))}"' if len(examples) == 1 else ""  # hides it in the other
    return f'<div class="pb-card"{only}><h3>{show(title)}</h3><p>{show(text)}</p>{buttons}</div>'


def _cut(text: str) -> str:
    return text if len(text) <= EXAMPLE_SHOWN else text[: EXAMPLE_SHOWN - 1].rstrip() + "…"


def _short(path: Path) -> str:
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)
