"""The list of conversations in a real browser: names, search, dates, files, faults."""

from __future__ import annotations

import json
import random
import re
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browse import LONG, PHONE, send
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser
Visit = Callable[..., Page]
DAY = 86_400_000  # ms


def act(page: Page, title: str, name: str) -> None:
    """Press a button of a conversation's row."""
    row = page.locator(".pb-chats li", has_text=title)
    row.hover()
    if name != "Delete conversation":
        row.locator(".pb-more summary").click()
    row.get_by_role("button", name=name).click()


def export(records: list[dict[str, Any]]) -> dict[str, Any]:
    """A file as `set_input_files` takes it."""
    text = json.dumps({"patchbay": 1, "conversations": records})
    return {"name": "x.json", "mimeType": "application/json", "buffer": text.encode()}


def record(name: str, turns: int = 2, at: int = 0) -> dict[str, Any]:
    made = [
        {
            "id": f"{name}-{n}",
            "parent": f"{name}-{n - 1}" if n else "",
            "text": f"{name} asks {n}",
            "status": "done",
            "steps": [{"task": "generation", "status": "done", "text": "It rained. " * 40}],
        }
        for n in range(turns)
    ]
    return {"at": at, "name": "", "pinned": False, "conversation": {"id": name, "turns": made}}


def test_rename_pin_and_search(visit: Visit, quick: Any) -> None:
    page = visit(quick)
    for text in ("about bridges", "about rivers"):
        page.get_by_role("button", name="New conversation").click()
        expect(page.locator(".pb-said")).to_have_count(0)
        send(page, text)
    act(page, "about bridges", "Rename")
    page.keyboard.type("Stone arches")
    page.keyboard.press("Enter")
    expect(page.locator(".pb-chat")).to_have_text(["about rivers", "Stone arches"])
    act(page, "Stone arches", "Pin or unpin")
    expect(page.locator(".pb-chat")).to_have_text(["Stone arches", "about rivers"])
    expect(page.locator(".pb-when")).to_contain_text(["Pinned", "Today"])
    send(page, "more of the rivers")  # a name and a pin stay when the other is worked on
    page.reload()
    expect(page.locator(".pb-chat")).to_have_text(["Stone arches", "about rivers"])
    search = page.get_by_role("searchbox", name="Search conversations")
    for wanted, found in (
        ("BRIDGES", ["Stone arches"]),  # its first request
        ("arch", ["Stone arches"]),
        ("more of", ["about rivers"]),
        ("", ["Stone arches", "about rivers"]),
    ):
        search.fill(wanted)
        expect(page.locator(".pb-chat")).to_have_text(found)
    search.fill("nowhere at all")
    told = page.get_by_text("No conversation has these words.")
    expect(told).to_be_visible()
    below, above = told.bounding_box(), search.bounding_box()
    assert below
    assert above
    assert 0 < below["y"] - above["y"] < 100  # where the eye is


def test_a_name_has_its_whole_row_until_the_mouse_is_there(visit: Visit, quick: Any) -> None:
    page = visit(quick)
    send(page, "about the many stone bridges of the old town and who built them")
    row, name = page.locator(".pb-chats li"), page.locator(".pb-chat")

    def free() -> float:
        outer, inner = row.bounding_box(), name.bounding_box()
        assert outer
        assert inner
        return outer["width"] - inner["width"]

    page.mouse.move(900, 400)
    assert free() < 1
    row.hover()
    assert free() > 60
    row.get_by_role("button", name="Delete conversation").click()
    expect(row).to_have_count(0)


def test_escape_leaves_a_name_as_it_was(visit: Visit, quick: Any) -> None:
    page = visit(quick)
    send(page, "about bridges")
    act(page, "about bridges", "Rename")
    page.keyboard.type("something else")
    page.keyboard.press("Escape")
    expect(page.locator(".pb-chat")).to_have_text(["about bridges"])
    expect(page.locator(".pb-chat")).to_be_focused()


def test_a_name_is_asked_for_in_chinese(visit: Visit, quick: Any) -> None:
    page = visit(quick, locale="zh-CN")
    send(page, "about bridges")
    page.locator(".pb-chats li").hover()
    page.locator(".pb-more summary").click()
    page.get_by_role("button", name="重命名").click()
    expect(page.get_by_role("textbox", name="对话名称")).to_be_focused()


def test_a_menu_stays_open_while_an_answer_is_kept(visit: Visit, slow: Any) -> None:
    page = visit(slow)
    answer = send(page, LONG, wait=False)
    menu = page.locator(".pb-more")
    page.locator(".pb-chats li").hover()
    menu.locator("summary").click()
    expect(answer).to_contain_text("buy buz dal dam")  # three seconds on, each with a keeping
    expect(menu).to_have_attribute("open", "")
    expect(menu.locator("summary")).to_be_focused()


def test_what_was_deleted_comes_back(visit: Visit, quick: Any) -> None:
    page = visit(quick)
    send(page, "to be lost")
    act(page, "to be lost", "Delete conversation")
    expect(page.locator(".pb-chat")).to_have_count(0)
    expect(page.get_by_text("What can I do for you?")).to_be_visible()
    page.locator(".pb-toast").get_by_role("button", name="Undo").click()
    expect(page.locator(".pb-said")).to_have_text("to be lost")
    expect(page.locator(".pb-chat")).to_have_text(["to be lost"])
    page.get_by_role("button", name="Delete all").click()
    page.get_by_role("button", name="Really delete all?").click()
    expect(page.locator(".pb-chat")).to_have_count(0)
    page.locator(".pb-toast").get_by_role("button", name="Undo").click()
    expect(page.locator(".pb-chat")).to_have_text(["to be lost"])


def test_a_conversation_has_an_address(visit: Visit, quick: Any) -> None:
    page = visit(quick)
    send(page, "first")
    first = page.url
    assert re.search(r"#[0-9a-f]{16}$", first)
    page.get_by_role("button", name="New conversation").click()
    expect(page.locator(".pb-said")).to_have_count(0)
    assert "#" not in page.url
    send(page, "second")
    page.go_back()
    expect(page.locator(".pb-said")).to_have_text("first")
    other = page.context.new_page()
    other.goto(first)
    expect(other.locator(".pb-said")).to_have_text("first")
    other.goto(first.partition("#")[0] + "#0123456789abcdef")
    other.reload()
    expect(other.locator(".pb-toast")).to_contain_text("not kept in this browser")


def test_files_go_out_and_come_in_elsewhere(visit: Visit, quick: Any, tmp_path: Path) -> None:
    page = visit(quick)
    send(page, "Summarize and translate <b>this</b>")
    page.get_by_role("button", name="Regenerate").click()
    expect(page.locator(".pb-versions")).to_contain_text("2 of 2")
    expect(page.locator("html")).not_to_have_attribute("data-busy", "true")
    with page.expect_download() as markdown:
        act(page, "Summarize", "Export as Markdown")
    assert markdown.value.suggested_filename.endswith(".md")
    markdown.value.save_as(tmp_path / "a.md")
    text = (tmp_path / "a.md").read_text(encoding="utf-8")
    assert text.startswith("# Summarize and translate <b>this</b>\n\n## You\n\n")
    assert "### Translation\n\n[translation-fake] [base] Summarize" in text
    with page.expect_download() as whole:
        page.get_by_role("button", name="Export all").click()
    whole.value.save_as(tmp_path / "a.json")

    elsewhere = visit(quick)
    elsewhere.set_input_files("#pb-import", tmp_path / "a.json")
    expect(elsewhere.locator(".pb-versions")).to_contain_text("2 of 2")
    expect(elsewhere.locator(".pb-said")).to_have_text("Summarize and translate <b>this</b>")
    elsewhere.set_input_files("#pb-import", tmp_path / "a.json")
    expect(elsewhere.locator(".pb-chat")).to_have_count(1)
    expect(elsewhere.locator(".pb-versions")).to_contain_text("2 of 2")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"%PDF-1.7",
        b"[]",
        b'{"patchbay": 2, "conversations": []}',
        b'{"patchbay": 1, "conversations": [{"conversation": {"id": "a", "turns": [{}]}}]}',
    ],
)
def test_a_file_that_is_not_ours_is_a_sentence(visit: Visit, quick: Any, raw: bytes) -> None:
    page = visit(quick)
    send(page, "here before")
    file = {"name": "x.json", "mimeType": "application/json", "buffer": raw}
    page.set_input_files("#pb-import", file)
    expect(page.locator(".pb-toast")).to_contain_text("no export of Patchbay's conversations")
    expect(page.locator(".pb-chat")).to_have_text(["here before"])
    page.get_by_role("button", name="中文").click()
    expect(page.locator(".pb-toast")).to_contain_text("没有导入任何内容", use_inner_text=True)


def test_a_full_store_is_said_and_the_conversation_can_be_saved(visit: Visit, quick: Any) -> None:
    page = visit(quick)
    quota = page.context.new_cdp_session(page)
    origin = {"origin": quick.address.rstrip("/")}
    quota.send("Storage.overrideQuotaForOrigin", {**origin, "quotaSize": 50_000})
    send(page, "first")
    noise = random.Random(0).choices(string.ascii_letters, k=90_000)  # is not packed smaller
    send(page, "second " + "".join(noise))
    problem = page.locator(".pb-problem")
    expect(problem.locator(".pb-full")).to_be_visible()
    expect(page.locator(".pb-said")).to_have_count(2)
    with page.expect_download() as saved:
        problem.get_by_role("button", name="Export this conversation").click()
    assert "second" in Path(saved.value.path()).read_text(encoding="utf-8")
    quota.send("Storage.overrideQuotaForOrigin", origin)
    send(page, "third")
    expect(problem).to_be_hidden()
    page.reload()
    expect(page.locator(".pb-said")).to_have_count(3)


def test_on_a_phone_the_rows_can_be_worked_with(visit: Visit, quick: Any) -> None:
    page = visit(quick, **PHONE)
    send(page, "about bridges")
    page.locator("[data-act=menu]").tap()
    page.locator(".pb-more summary").tap()
    page.get_by_role("button", name="Rename").tap()
    page.get_by_label("Name of the conversation").fill("Stone arches")
    page.keyboard.press("Enter")
    expect(page.locator(".pb-chat")).to_have_text("Stone arches")


def test_many_conversations_and_a_long_one_are_drawn_in_parts(visit: Visit, quick: Any) -> None:
    """How long that takes: `python -m benchmarks.page`."""
    page = visit(quick)
    now = page.evaluate("Date.now()")
    many = [record(f"talk{n}", at=now - n * DAY // 4) for n in range(200)]
    page.set_input_files("#pb-import", export([record("long", 1000, now), *many]))
    expect(page.locator(".pb-chat")).to_have_count(201, timeout=60_000)
    expect(page.locator(".pb-said").last).to_have_text("long asks 999", timeout=60_000)
    expect(page.locator(".pb-said")).to_have_count(30)
    page.get_by_role("button", name="Show 30 of 970 earlier turns").click()
    expect(page.locator(".pb-said")).to_have_count(60)
    made = "() => document.querySelectorAll('.pb-chats li:not([data-old])').length"
    page.evaluate("document.querySelectorAll('.pb-chats li').forEach((row) => row.dataset.old = 1)")
    send(page, "What now?")
    expect(page.locator(".bot-row").last).to_contain_text("[base] What now?")
    page.get_by_role("link", name="talk3 asks 0").click()
    expect(page.locator(".pb-said")).to_have_text(["talk3 asks 0", "talk3 asks 1"])
    page.locator("#pb-search").press_sequentially("talk17")
    expect(page.locator(".pb-chat")).to_have_count(11)
    page.locator("#pb-search").fill("")
    expect(page.locator(".pb-chat")).to_have_count(201)
    assert page.evaluate(made) == 0, "no row is made anew that shows what it showed"
    page.locator(".pb-chat", has_text="long").click()
    expect(page.locator(".pb-said").last).to_have_text("What now?")
