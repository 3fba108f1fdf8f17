"""Answers of a megabyte of Markdown: cut into pieces, and drawn without the page standing still."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from browse import send
from markdown_it import MarkdownIt
from playwright.sync_api import Page, expect

from agent.agent import Agent
from engine.fake import FakeEngine
from engine.interface import Delta, Usage, WriteReply
from ui.markdown_pieces import LONGEST, PIECE, Cuts, pieces

BLOCKS = (
    "## Heading {n}\n\n",
    "A paragraph with **bold**, `code` and [a link](https://example.org), {n}.\n\n",
    "- one item {n}\n\n  and its second paragraph\n- another\n  - nested\n\n",
    "| a | b |\n|---|---|\n| {n} | x |\n\n",
    "```python\ndef f{n}(x):\n\n    return x\n```\n\n",
    "1. first {n}\n2. second\n\n> a quotation\n\n",
)
LIMIT = 5000  # ms that the page may stand still on a machine that does other things too
SECONDS = 6.0


def markdown(size: int) -> str:
    blocks, length = [], 0
    while length < size:
        blocks.append(BLOCKS[len(blocks) % len(BLOCKS)].format(n=len(blocks)))
        length += len(blocks[-1])
    return "".join(blocks) + "the very end"


@pytest.mark.parametrize("size", [0, 100, PIECE, 100_000])
def test_pieces_draw_as_the_whole(size: int) -> None:
    text = markdown(size)
    renderer = MarkdownIt("commonmark").enable("table")
    assert "".join(map(renderer.render, pieces(text))) == renderer.render(text)


def test_while_a_text_grows_all_pieces_but_the_last_stay() -> None:
    text, before, known = markdown(30_000), [""], Cuts()
    for end in range(0, len(text), 97):
        now = pieces(text[:end], known)
        assert now == pieces(text[:end])
        assert now[: len(before) - 1] == before[:-1]
        before = now


@pytest.mark.parametrize("line", ["x = 1\n\ny = 2\n", "```\n~~~~ no end\n"])
def test_a_fence_that_is_cut_is_closed_and_opened_again(line: str) -> None:
    text = "~~~~python\n" + line * (3 * LONGEST // len(line)) + "~~~~\n\nand on"
    renderer = MarkdownIt("commonmark")
    drawn = "".join(map(renderer.render, pieces(text)))
    assert len(pieces(text)) > 3
    assert drawn.replace('</code></pre>\n<pre><code class="language-python">', "") == (
        renderer.render(text)
    )


@pytest.mark.parametrize("text", ["word " * LONGEST, "字" * 3 * LONGEST, "- item\n" * LONGEST])
def test_what_ends_nowhere_is_cut_all_the_same(text: str) -> None:
    assert max(map(len, pieces(text))) <= LONGEST
    assert "".join(pieces(text)) == text


class Megabyte(FakeEngine):
    """Writes a megabyte in some seconds."""

    text = markdown(1_000_000)

    def write(self, request: Any, stop: threading.Event | None = None) -> Iterator[WriteReply]:
        if request.messages[-1]["content"] != "a megabyte":
            yield from super().write(request, stop)
            return
        size = 5000
        for at in range(0, len(self.text), size):
            time.sleep(SECONDS * size / len(self.text))
            yield Delta(self.text[at : at + size])
        yield Usage(1, 250_000, SECONDS, 0.1, "end")


@pytest.mark.browser
def test_a_megabyte_freezes_nothing_and_loses_nothing(
    visit: Callable[..., Page], serve: Callable[..., Any], fake_agent: Callable[..., Agent]
) -> None:
    agent = fake_agent()
    agent.engine = Megabyte()
    page = visit(serve(agent))
    page.evaluate("""() => {
        window.longest = 0;
        new PerformanceObserver((seen) => {
            for (const { duration } of seen.getEntries()) longest = Math.max(longest, duration);
        }).observe({ type: "longtask" });
    }""")
    answer = send(page, "a megabyte", wait=False)
    box = page.locator("#pb-text")
    expect(answer).to_contain_text("characters are not shown here until")
    box.press_sequentially("meanwhile")
    expect(answer.locator(".pb-actions")).to_be_visible(timeout=60_000)
    expect(answer.get_by_text("the very end")).to_be_visible()
    more = page.locator("[data-act=longer]")  # a role is looked for in the page's own time
    before = more.inner_text()
    more.press("Enter")
    expect(more).not_to_have_text(before, use_inner_text=True)
    expect(more).to_be_focused()
    expect(box).to_have_value("meanwhile")
    send(page, "and now?")
    longest = page.evaluate("longest")
    print(f"The page was at work for {longest:.0f} ms at a stretch at most.")  # docs/page.md has it
    assert page.evaluate("document.querySelectorAll('*').length") < 20_000
    kept = (
        """async () => (await patchbayStore.open(location.hash.slice(1))).turns[0].steps[0].text"""
    )
    assert page.evaluate(kept) == Megabyte.text
    page.reload()
    page.wait_for_selector("html[data-ready]")
    expect(page.locator(".bot-row").first).to_contain_text("the very end")
