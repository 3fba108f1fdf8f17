"""Files and long pastes on the page: a chip each, removable, sent as content."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import made_files
import pytest
from browse import PHONE, assert_fits
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser
Visit = Callable[..., Page]
DROP = """([name, data]) => {
    const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
    const transfer = new DataTransfer();
    transfer.items.add(new File([bytes], name));
    const init = {dataTransfer: transfer, bubbles: true, cancelable: true};
    document.body.dispatchEvent(new DragEvent("dragover", init));
    document.body.dispatchEvent(new DragEvent("drop", init));
}"""
PASTE = """([text]) => {
    const transfer = new DataTransfer();
    transfer.setData("text/plain", text);
    const box = document.querySelector("#pb-text");
    const init = {clipboardData: transfer, bubbles: true, cancelable: true};
    return box.dispatchEvent(new ClipboardEvent("paste", init));
}"""
CHIPS = ".pb-composer .pb-file"
READ = 90_000  # ms for a file: a process starts for each, and a busy machine is slow


def drop(page: Page, name: str, raw: bytes) -> None:
    page.evaluate(DROP, [name, base64.b64encode(raw).decode()])


def wait_until_read(page: Page) -> None:
    """No chip is being read any more."""
    expect(page.locator(f"{CHIPS}[data-state=reading]")).to_have_count(0, timeout=READ)


def answered(page: Page, words: str) -> str:
    """Write words beside what is attached and press Enter; what the engine was given."""
    wait_until_read(page)
    page.locator("#pb-text").fill(words)
    expect(page.locator(".pb-send")).to_be_enabled()
    page.locator("#pb-text").press("Enter")
    expect(page.locator(".bot-row").last.locator(".pb-actions")).to_be_visible(timeout=READ)
    expect(page.locator("html")).not_to_have_attribute("data-busy", "true")
    return page.locator(".bot-row").last.inner_text()


def test_a_dropped_pdf_is_answered_and_remembered(visit: Visit, quick: Any) -> None:
    page = visit(quick)
    drop(page, "../../report\u202e.pdf", made_files.report(2))
    chip = page.locator(CHIPS)
    expect(chip).to_contain_text("report.pdf")
    wait_until_read(page)
    expect(chip).to_contain_text("2 pages")
    expect(chip).to_contain_text("tokens")
    expect(page.locator(".pb-send")).to_be_disabled()
    expect(page.get_by_text("Say below what is to be done")).to_be_visible()
    assert "Books and people" in answered(page, "Summarize this")
    assert quick.agent.planner.given[-1].startswith("Annual report of the library")
    expect(page.locator(CHIPS)).to_have_count(0)
    expect(page.locator(".pb-said")).to_contain_text("report.pdf")
    page.reload()
    expect(page.locator(".pb-said .pb-file")).to_contain_text("2 pages")
    page.get_by_role("button", name="Regenerate").click()
    expect(page.locator("html")).not_to_have_attribute("data-busy", "true")
    expect(page.locator(".bot-row")).to_contain_text("Books and people")
    page.locator(".pb-request").hover()
    page.get_by_role("button", name="Edit", exact=True).click()
    expect(chip).to_contain_text("report.pdf")
    expect(page.locator("#pb-text")).to_have_value("Summarize this")


def test_several_files_by_the_button_and_one_is_taken_away(visit: Visit, quick: Any) -> None:
    page = visit(quick)
    files: list[Any] = [
        {"name": name, "mimeType": "", "buffer": text.encode()}
        for name, text in (("a.txt", "alpha"), ("b.md", "# beta"), ("c.html", "<p>gamma"))
    ]
    page.locator("#pb-pick").set_input_files(files)
    expect(page.locator(CHIPS)).to_have_count(3)
    page.locator(CHIPS, has_text="b.md").get_by_role("button", name="Remove").click()
    expect(page.locator(CHIPS)).to_have_count(2)
    said = answered(page, "Summarize")
    assert "alpha" in said
    assert "gamma" in said
    assert "beta" not in said


def test_a_bad_file_says_why_and_can_be_removed(visit: Visit, quick: Any) -> None:
    page = visit(quick, **PHONE)
    drop(page, "a.pdf", made_files.locked_pdf())
    drop(page, "<img src=x onerror=hacked=1>.txt", b"")
    wait_until_read(page)
    expect(page.locator(CHIPS).first).to_contain_text("locked with a password")
    expect(page.locator(CHIPS).last).to_contain_text("is empty")
    page.locator("#pb-text").fill("hello")
    expect(page.locator(".pb-send")).to_be_disabled()
    assert_fits(page)
    for _ in range(2):
        page.locator(CHIPS).first.get_by_role("button", name="Remove").click()
    expect(page.locator(".pb-send")).to_be_enabled()
    assert page.evaluate("typeof hacked") == "undefined"


def test_a_bad_file_says_why_in_chinese(visit: Visit, quick: Any) -> None:
    page = visit(quick, locale="zh-CN")
    drop(page, "a.pdf", made_files.locked_pdf())
    drop(page, "b.txt", "caf\xe9 au lait, dr\xf4le de th\xe9\xe2tre".encode("latin-1"))
    wait_until_read(page)
    for chip, said in ((0, "a.pdf 有密码保护"), (1, "不是 UTF-8")):
        shown = page.locator(CHIPS).nth(chip)
        expect(shown).to_contain_text(said, use_inner_text=True)
        assert not re.search("password|Save|read as", shown.inner_text())
    page.get_by_role("button", name="English").click()
    expect(page.locator(CHIPS).first).to_contain_text("locked with", use_inner_text=True)


def test_a_long_paste_is_a_chip_that_can_be_edited(visit: Visit, quick: Any) -> None:
    page = visit(quick)
    text = "The library reopens. " * 120
    assert page.evaluate(PASTE, ["short"])  # left to the browser
    assert not page.evaluate(PASTE, [text])
    chip = page.locator(CHIPS)
    expect(chip).to_contain_text("Pasted text")
    expect(page.locator("#pb-text")).to_have_value("")
    wait_until_read(page)
    expect(chip).to_contain_text("tokens")
    chip.locator("[data-act=unpack]").click()
    expect(page.locator("#pb-text")).to_have_value(text)
    expect(chip).to_have_count(0)


def test_a_paste_without_words_is_the_request_and_with_words_is_content(
    visit: Visit, quick: Any
) -> None:
    page = visit(quick)
    text = "Translate this: " + "house " * 400
    page.evaluate(PASTE, [text])
    expect(page.locator(".pb-send")).to_be_enabled()
    page.locator("#pb-text").press("Enter")
    expect(page.locator(".pb-said")).to_contain_text("Translate this: house")
    assert quick.agent.planner.given[-1] is None
    expect(page.locator("html")).not_to_have_attribute("data-busy", "true")
    page.evaluate(PASTE, [text])
    wait_until_read(page)
    page.locator("#pb-text").fill("Summarize")
    expect(page.locator(".pb-send")).to_be_enabled()
    page.locator("#pb-text").press("Enter")
    expect(page.locator(".pb-said")).to_have_count(2)
    assert quick.agent.planner.given[-1] == text.strip()


def test_a_paste_of_a_million_characters_does_not_hang_the_page(visit: Visit, quick: Any) -> None:
    page = visit(quick)
    assert not page.evaluate(PASTE, ["很长的文字 " * 175_000])
    wait_until_read(page)
    expect(page.locator(CHIPS)).to_contain_text("tokens")
    page.locator(CHIPS).locator("[data-act=unpack]").click()
    expect(page.locator(CHIPS)).to_contain_text("too long to be edited")
    expect(page.locator("#pb-text")).to_have_value("")
    page.locator("#pb-text").press("Enter")
    page.get_by_role("button", name="Change the request").click()
    expect(page.locator(CHIPS)).to_contain_text("Pasted text")
    expect(page.locator("#pb-text")).to_have_value("")


def test_what_is_more_than_a_request_holds_is_said_and_kept(
    visit: Visit, serve: Any, fake_agent: Any
) -> None:
    page = visit(serve(fake_agent(), max_request_bytes=2_000_000))
    problem = page.locator(".pb-problem")
    page.evaluate(PASTE, ["很长的文字 " * 130_000])  # 16 bytes each, and nothing to lay out
    wait_until_read(page)
    expect(page.locator(CHIPS)).to_contain_text("larger than what is read")
    page.locator("#pb-text").press("Enter")  # as a request it is no shorter
    expect(problem).to_contain_text("more than one request may hold")
    page.locator(CHIPS).get_by_role("button", name="Remove").click()
    for _ in range(2):
        page.evaluate(PASTE, ["很长的文字 " * 70_000])
    wait_until_read(page)
    expect(page.locator(CHIPS).last).to_contain_text("tokens")
    page.locator("#pb-text").fill("Summarize")
    page.locator("#pb-text").press("Enter")
    expect(problem).to_contain_text("more than one request may hold")
    expect(page.locator(CHIPS)).to_have_count(2)
    expect(page.locator("#pb-text")).to_have_value("Summarize")


def test_a_stranger_gets_no_file_and_no_page_elsewhere_sends_one(quick: Any) -> None:
    address = f"{quick.address}/gradio_api/attach"
    assert httpx.get(address).status_code in {404, 405}
    answer = httpx.post(address, content=b"hello")  # as a form of another site could
    assert answer.status_code == 422
    assert "x-file-name" in answer.json()["error"]["en"]
    answer = httpx.post(address, content=b"x" * 20_000_001, headers={"X-File-Name": "a.txt"})
    assert answer.status_code == 422
    assert "at most 20,000,000" in answer.json()["error"]["en"]


def test_a_login_guards_files_too(serve: Any, fake_agent: Any) -> None:
    site = serve(fake_agent(), api_keys={"ann": "k" * 20})
    answer = httpx.post(
        f"{site.address}/gradio_api/attach", content=b"hello", headers={"X-File-Name": "a.txt"}
    )
    assert answer.status_code == 401


def test_reading_is_without_a_trace_on_disk(quick: Any, tmp_path: Path) -> None:
    before = {*Path("/tmp/gradio").rglob("*")} if Path("/tmp/gradio").exists() else set()
    answer = httpx.post(
        f"{quick.address}/gradio_api/attach",
        content=b"# Hi",
        headers={"X-File-Name": "a.md"},
        timeout=READ,
    )
    assert answer.json()["document"]["blocks"] == [
        {"kind": "heading", "text": "Hi", "level": 1, "line": 1}
    ]
    after = {*Path("/tmp/gradio").rglob("*")} if Path("/tmp/gradio").exists() else set()
    assert after == before
