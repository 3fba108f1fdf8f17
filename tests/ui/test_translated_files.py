"""A file that was dropped and translated: both sides of it, and the file written anew."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docx
import httpx
import made_files
import pytest
from browse import PHONE, assert_fits
from playwright.sync_api import Page, expect
from test_attach import READ, answered, drop

pytestmark = pytest.mark.browser
Visit = Callable[..., Page]
KEPT = """async () => {
    const opening = indexedDB.open("patchbay.originals", 1);
    await new Promise((done) => (opening.onsuccess = done));
    const kept = opening.result.transaction("files").objectStore("files").count();
    return await new Promise((done) => (kept.onsuccess = () => done(kept.result)));
}"""


def downloaded(page: Page, name: str) -> bytes:
    with page.expect_download(timeout=READ) as waiting:
        page.get_by_role("button", name=name).click()
    assert waiting.value.suggested_filename == name
    return Path(waiting.value.path()).read_bytes()


def test_a_docx_is_dropped_translated_downloaded_and_opened(visit: Visit, quick: Any) -> None:
    page = visit(quick)
    drop(page, "letter.docx", made_files.letter())
    assert "<g1>" not in answered(page, "Translate this")
    made = docx.Document(io.BytesIO(downloaded(page, "letter.fr.docx")))
    said = "[translation-fake] "
    assert made.paragraphs[0].style.name == "Heading 1"
    assert made.paragraphs[0].text == f"{said}The plan"
    (bold,) = [run for run in made.paragraphs[1].runs if run.bold]
    assert bold.text == "Monday"
    assert made.tables[0].cell(0, 0).text == f"{said}name"
    assert made.tables[0].cell(1, 1).text == "41"
    assert made.sections[0].header.paragraphs[0].text == f"{said}Draft"
    assert len(made.inline_shapes) == 1


def test_both_sides_are_shown_without_tags(visit: Visit, quick: Any) -> None:
    page = visit(quick, **PHONE)
    drop(page, "a.srt", b"1\n00:00:01,000 --> 00:00:02,000\n<i>Hello</i> there.\n")
    answered(page, "Translate this")
    page.get_by_role("button", name="Side by side").click()
    pair = page.locator("#pb-beside .pb-pair")
    expect(pair).to_have_count(1)
    expect(pair.locator("p").nth(0)).to_have_text("Hello there.")
    expect(pair.locator("p").nth(1)).to_have_text("[translation-fake] Hello there.")
    expect(pair.locator(".pb-note")).to_be_hidden()
    assert_fits(page)
    page.locator("#pb-beside").get_by_role("button", name="Close").click()
    expect(page.locator("#pb-beside")).to_be_hidden()


def test_the_file_outlives_a_reload_and_goes_with_its_conversation(
    visit: Visit, quick: Any
) -> None:
    page = visit(quick)
    drop(page, "a.md", b"# Plan\n\n- one *thing*\n")
    answered(page, "Translate this")
    page.reload()
    page.wait_for_selector("html[data-ready]")
    wanted = b"# [translation-fake] Plan\n\n- [translation-fake] one *thing*\n"
    assert downloaded(page, "a.fr.md") == wanted
    assert page.evaluate(KEPT) == 1
    page.evaluate("indexedDB.deleteDatabase('patchbay.originals')")
    page.get_by_role("button", name="a.fr.md").click()
    expect(page.get_by_text("no longer has the file")).to_be_visible()
    drop(page, "b.md", b"# Other\n")
    answered(page, "Translate this")
    assert page.evaluate(KEPT) == 1
    page.locator(".pb-chats [data-act=forget]").click()
    expect(page.locator(".pb-chats li")).to_have_count(0)
    page.wait_for_function(f"async () => (await ({KEPT})()) === 0")


def test_a_summary_and_a_pdf_are_not_offered_as_files(visit: Visit, quick: Any) -> None:
    page = visit(quick)
    drop(page, "a.md", b"# Plan\n\nOne thing.\n")
    answered(page, "Summarize this")
    expect(page.locator(".pb-translated")).to_have_count(0)
    drop(page, "report.pdf", made_files.report(1))
    answered(page, "Translate this")
    expect(page.get_by_role("button", name="Side by side")).to_have_count(1)
    expect(page.locator("[data-act=download]")).to_have_count(0)


def test_new_texts_that_make_no_sense_are_refused(quick: Any) -> None:
    def asked(body: bytes, **headers: str) -> httpx.Response:
        address = f"{quick.address}/gradio_api/rewrite"
        return httpx.post(address, content=body, headers=headers, timeout=READ)

    def fault(body: bytes, **headers: str) -> str:
        said: str = asked(body, **headers).json()["error"]["en"]
        return said

    name = {"X-File-Name": "a.md"}
    assert "x-file-name" in fault(b"[]\n# a")
    assert "came damaged" in fault(b"{}\n# a", **name)
    assert "came damaged" in fault(b"# a", **name)
    assert "is empty" in fault(b'["b"]\n', **name)
    assert "has 1 blocks, and 2 texts" in fault(b'["b", "c"]\n# a', **name)
    assert asked(b'["b"]\n# a\n\nc\n', **name).content == b"# b\n\nc\n"
