"""One circle through the page end to end, from a wrong answer to the right one, step by step.

    python -m benchmarks.circle banking77/train.jsonl --label intent \
        --group cards=card_arrival,lost_or_stolen_card --group transfers=failed_transfer,...

A real Chromium on the starter, in a Patchbay folder of its own, that is deleted. Requests to sort
are asked until one is answered wrong; it is disliked, and the right label written. Rows of the file
are added with their labels, reviewed with Enter, an adapter is trained, judged and put to use, and
the same is asked again. A person takes longer to review: the script reads nothing.
"""

from __future__ import annotations

import csv
import json
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer
from playwright.sync_api import Page, expect, sync_playwright

from benchmarks.loop import labelled, own_home
from benchmarks.page import CHROMIUM  # and the tests' helpers become importable
from core.terminal import aside

PATIENCE = 1_800_000  # ms for a training or a judging
REVIEWED_WAIT = 20  # seconds for a row


class Circle:
    """The steps, and when each was done."""

    def __init__(self, page: Page, address: str, labels: Sequence[str]) -> None:
        self.page, self.address, self.labels = page, address, labels
        self.steps: list[dict[str, Any]] = []
        self._began = 0.0

    def done(self, step: str, found: str = "") -> None:
        """Keep that a step is done; the first one begins the time."""
        self._began = self._began or time.perf_counter()
        seconds = round(time.perf_counter() - self._began, 1)
        self.steps.append({"seconds": seconds, "step": step, "found": found})
        aside(json.dumps(self.steps[-1], ensure_ascii=False))

    def sorted_as(self, text: str) -> str:
        """The label that the chat gives a text, in a conversation of its own."""
        from browse import send

        self.page.goto(self.address)
        self.page.wait_for_selector("html[data-ready]")
        self.page.get_by_role("button", name="New conversation").click()
        expect(self.page.locator(".pb-said")).to_have_count(0)
        answer = send(self.page, f"Sort into {', '.join(self.labels)}: {text}")
        shown = answer.locator(".pb-best .pb-label [lang=en]")
        return str(shown.text_content())

    def dislike(self, right: str) -> None:
        """Say what is right instead, and agree to a training."""
        self.page.locator("[data-act=dislike]").last.click()
        self.page.locator(".pb-better [name=better]").fill(right)
        self.page.locator(".pb-better [name=better]").press("Control+Enter")
        self.page.locator(".pb-consent-unsaid [data-act=agree]").click()

    def review(self) -> int:
        """Accept all rows that wait, by keyboard; how many."""
        self.tab("Review")
        self.page.get_by_role("button", name="Look for new rows").click()
        expect(self.page.locator(".pb-note")).to_contain_text("1 new rows to review")
        count = 0
        while self._waiting():
            before, until = self._waiting(), time.monotonic() + REVIEWED_WAIT
            self.page.keyboard.press("Enter")
            while self._waiting() == before and time.monotonic() < until:
                self.page.wait_for_timeout(20)
            count += 1
        return count

    def train(self) -> None:
        """Check and train."""
        self.tab("Train")
        self.page.get_by_role("button", name="Check").click()
        status = self.page.locator(".pb-job").get_by_role("status")
        expect(status).to_contain_text("ready to start")
        self.done("checked")
        self.page.get_by_role("button", name="Start training").click()
        expect(status).to_contain_text("finished")
        self.done("trained")

    def judge(self) -> None:
        """Judge, and put it to use, whatever the verdict."""
        self.page.get_by_role("button", name="Judge it").click()
        self.page.get_by_role("button", name="Judge", exact=True).click()
        verdict = self.page.locator(".pb-verdict b [lang=en]")
        expect(verdict).to_be_visible()
        figures = self.page.locator(".pb-job li [lang=en]", has_text="→").first
        self.done("judged", f"{verdict.inner_text()}: {figures.inner_text()}")
        if verdict.inner_text() != "Better":
            self.page.locator("form[data-do=promote] [name=why]").fill("A benchmark.")
        self.page.get_by_role("button", name="Put it to use").click()
        expect(self.page.get_by_text("from now on")).to_be_visible()
        self.done("put to use")

    def tab(self, name: str) -> None:
        """Open the workshop at a tab."""
        self.page.goto(f"{self.address}/workshop/")
        self.page.wait_for_selector("html[data-ready]")
        self.page.get_by_role("tab", name=name).click()
        expect(self.page.get_by_role("tab", name=name)).to_have_attribute("aria-selected", "true")

    def _waiting(self) -> int:
        said = self.page.locator(".pb-soft[role=status] [lang=en]").first.inner_text()
        return int(re.findall(r"\d+", said)[0])


def main(
    file: Annotated[Path, typer.Argument(help="JSON lines")],
    text: Annotated[str, typer.Option(help="column with the texts")] = "text",
    label: Annotated[str, typer.Option(help="column with the right labels")] = "label",
    group: Annotated[list[str] | None, typer.Option(help="name=label,label")] = None,
    rows: Annotated[int, typer.Option(help="to learn from and to judge on")] = 150,
    share: Annotated[str, typer.Option(help="of them drawn to judge on")] = "0.66",
    seed: Annotated[int, typer.Option()] = 11,
) -> None:
    """Print each step with the seconds since the wrong answer."""
    pairs = labelled(file, text, label, group)
    random.Random(seed).shuffle(pairs)
    with own_home(), tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        from served import served  # the tests' own server of a page

        from agent.build import build_agent
        from agent.feedback.store import Feedback
        from core.settings import load_settings

        added = _csv(Path(folder) / "rows.csv", pairs[:rows])
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        agent = build_agent(load_settings(profile="starter"), aside)
        with closing(agent), served(agent, Feedback()) as site:
            visit = chromium.new_context(locale="en-US")
            page = visit.new_page()
            expect.set_options(timeout=PATIENCE)
            circle = Circle(page, site.address, sorted({name for _, name in pairs}))
            wrong, right, said = next(
                (one, name, found)
                for one, name in pairs[rows:]
                if (found := circle.sorted_as(one)) != name
            )
            circle.done("answered wrong", f"{wrong} → {said}, right is {right}")
            circle.dislike(right)
            circle.done("disliked, with the right answer and consent")
            command = ["add", str(added), "--task", "classification", "--own-labels", "--consent"]
            subprocess.run(
                [sys.executable, "-m", "workshop", *command, "--share", share],
                check=True, stdout=subprocess.DEVNULL,
            )  # fmt: skip
            circle.done("rows added", f"{rows}")
            circle.done("reviewed", f"{circle.review()}")
            circle.train()
            circle.judge()
            circle.done("asked again", f"{wrong} → {circle.sorted_as(wrong)}")
            visit.close()
        chromium.close()
    print(json.dumps(circle.steps, indent=1, ensure_ascii=False))


def _csv(file: Path, pairs: Sequence[tuple[str, str]]) -> Path:
    with file.open("w", encoding="utf-8", newline="") as into:
        csv.writer(into).writerows([("text", "label"), *pairs])
    return file


if __name__ == "__main__":
    typer.run(main)
