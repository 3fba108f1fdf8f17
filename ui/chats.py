"""The list of conversations: its frame, which the script fills from the browser's storage."""

from __future__ import annotations

from ui.icons import icon
from ui.words import attributes, say

WHEN = ("pinned", "today", "yesterday", "week", "month", "older")


def draw_list() -> str:
    """The list of conversations, empty, with the parts that the script makes rows of."""
    times = "".join(
        f'<h2 class="pb-when" data-when="{when}">{say(f"chats.{when}")}</h2>' for when in WHEN
    )
    find = attributes(aria_label="chats.search", placeholder="chats.search")
    return f"""<nav class="pb-list" {attributes(aria_label="chats.title")}>
<button type="button" class="pb-new" data-act="fresh">{icon("plus")}{say("chats.new")}</button>
<a class="pb-tables" href="tables/">{icon("table")}{say("tables.link")}</a>
<a class="pb-tables" href="adapters/">{icon("plug")}{say("adapters.link")}</a>
<a class="pb-tables pb-owner" href="workshop/">{icon("own")}{say("workshop.link")}</a>
<input type="search" id="pb-search" autocomplete="off" dir="auto" {find}>
<p class="pb-unfound" role="status" hidden>{say("chats.unfound")}</p>
<div class="pb-chats"></div>
<p class="pb-none">{say("chats.none")}</p>
<p class="pb-where">{say("chats.where")}
<input type="file" id="pb-import" accept=".json,application/json" hidden>
<button type="button" class="pb-plain" data-act="import">{say("chats.import")}</button>
<button type="button" class="pb-plain pb-some" data-act="exportall">{say("chats.export")}</button>
<button type="button" class="pb-plain pb-some" data-act="clear"><span class="pb-first">
{say("chats.clear")}</span><span class="pb-sure">{say("chats.sure")}</span></button></p>
{_row()}<template id="pb-times">{times}</template></nav>{_toast()}"""


def _row() -> str:
    name = attributes(aria_label="chats.name")
    return f"""<template id="pb-chat"><li>
<a class="pb-chat" dir="auto" data-act="open"></a>
<details class="pb-more"><summary class="pb-act">{icon("more")}
<span class="pb-tip">{say("chats.more")}</span></summary><div>
{_act("pin", "pin")}{_act("rename", "edit")}{_act("markdown", "text")}{_act("json", "braces")}
</div></details>{_act("forget", "delete")}
<input class="pb-name-box" maxlength="200" dir="auto" {name} hidden></li></template>"""


def _act(act: str, drawn: str) -> str:
    return (
        f'<button type="button" class="pb-act" data-act="{act}">{icon(drawn)}'
        f'<span class="pb-tip">{say(f"chats.{act}")}</span></button>'
    )


def _toast() -> str:
    """What was just done and can be taken back, or why it could not be done."""
    kinds = ("deleted", "imported", "foreign", "absent")
    said = "".join(f'<span data-kind="{kind}">{say(f"told.{kind}")}</span>' for kind in kinds)
    return (
        f'<p class="pb-toast" role="status" hidden {attributes(data_you="you.said")}>{said}'
        f'<button type="button" class="pb-plain" data-act="restore">{say("told.undo")}</button>'
        f'<button type="button" class="pb-act" data-act="quiet">{icon("close")}'
        f'<span class="pb-tip">{say("told.close")}</span></button></p>'
    )
