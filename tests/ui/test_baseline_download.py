"""The simple classifier where the adapter does not beat it: offered on the page, to its owner."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from browse import PHONE
from judged import LEARNT, NAMED, UNNAMED, judged_beside_baseline
from playwright.sync_api import Page, expect
from test_accessibility import violations
from test_owner import ALICE, BOB, login

from agent.agent import Agent
from tasks.spec import load_tasks
from ui.workshop_verdict import draw_verdict
from ui.workshop_view import View
from workshop.jobs import JobFolder
from workshop.rows import ReviewStore
from workshop.withdrawal import withdraw


def drawn(job: JobFolder) -> str:
    return draw_verdict(job, load_tasks()["sentiment"], View(tab="judge"))


def test_where_it_wins_it_is_offered_with_both_figures() -> None:
    job = judged_beside_baseline(LEARNT, UNNAMED)
    page = drawn(job)
    assert "The simple way does better here." in page
    assert "在这里，简单的方法更好。" in page
    assert "is right on 100.0% (100.0% to 100.0%) of 40 rows, the adapter on " in page
    assert "在 40 条内容上的正确率为 100.0%（100.0% 至 100.0%），适配器为 " in page
    assert "No training row had neutral" in page
    assert f'data-save="baseline/{job.folder.name}"' in page
    assert 'data-name="mine-classifier.zip"' in page


def test_where_no_difference_is_shown_it_says_so() -> None:
    page = drawn(judged_beside_baseline(LEARNT, [NAMED[0], UNNAMED[0], UNNAMED[-1]]))
    assert "does as well here, as far as these rows tell" in page
    assert "data-save" in page


def test_where_the_adapter_wins_nothing_is_offered() -> None:
    page = drawn(judged_beside_baseline(LEARNT, NAMED))
    assert re.search(r'<p class="pb-soft"><span lang="en">A classifier that counts words.* the '
                     r"adapter on 100.0%", page)  # fmt: skip
    assert "data-save" not in page
    assert "The simple way" not in page


@pytest.fixture
def job() -> JobFolder:
    return judged_beside_baseline(LEARNT, UNNAMED)


@pytest.fixture
def address(job: JobFolder) -> str:
    return f"/workshop/baseline/{job.folder.name}"


def test_its_owner_is_given_it(
    serve: Callable[..., Any], fake_agent: Callable[..., Agent], address: str
) -> None:
    site = serve(fake_agent())
    answer = httpx.post(site.address + address, timeout=60)
    assert answer.status_code == 200
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert [name.rpartition("/")[2] for name in archive.namelist()] == [
            "classifier.json", "classify.py", "README.md",
        ]  # fmt: skip
    assert httpx.get(site.address + address).status_code in {404, 405}, "a link makes none"
    for job in ("20260101-000000-abcdef", "..", "%2e%2e", "%2e%2e%2fx", "*"):
        assert httpx.post(f"{site.address}/workshop/baseline/{job}").status_code in {404, 405}, job


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
        {"Sec-Fetch-Site": "same-site"},
        {"X-Forwarded-For": "127.0.0.1"},
        {"Host": "evil.example"},
    ],
)
def test_a_page_elsewhere_and_a_proxy_are_not(
    headers: dict[str, str], serve: Callable[..., Any], fake_agent: Callable[..., Agent],
    address: str,
) -> None:  # fmt: skip
    site = serve(fake_agent())
    answer = httpx.post(site.address + address, headers=headers, timeout=60)
    assert answer.status_code in {404, 421}
    assert b"PK" not in answer.content


def test_with_keys_the_owner_alone_is_given_it(
    serve: Callable[..., Any], fake_agent: Callable[..., Agent], address: str
) -> None:
    site = serve(fake_agent(), api_keys={"alice": ALICE, "bob": BOB}, owners="alice")
    with httpx.Client(timeout=60) as client:
        assert client.post(site.address + address).status_code == 404
        bearer = {"Authorization": f"Bearer {ALICE}"}
        assert client.post(site.address + address, headers=bearer).status_code == 404
        login(client, site, "bob", BOB)
        assert client.post(site.address + address).status_code == 404
    with httpx.Client(timeout=60) as client:
        login(client, site, "alice", ALICE)
        assert client.post(site.address + address).content[:2] == b"PK"


def test_where_others_come_in_without_keys_nobody_is(
    serve: Callable[..., Any], fake_agent: Callable[..., Agent], address: str
) -> None:
    site = serve(fake_agent(), host="0.0.0.0")
    assert httpx.post(site.address + address).status_code == 404


def open_verdict(page: Page, site: Any) -> Page:
    page.goto(f"{site.address}/workshop/#mine")
    page.wait_for_selector("html[data-ready]")
    expect(page.locator(".pb-baseline")).to_be_visible()
    return page


@pytest.mark.browser
def test_a_button_downloads_it(
    visit: Callable[..., Page], serve: Callable[..., Any], fake_agent: Callable[..., Agent],
    job: JobFolder,
) -> None:  # fmt: skip
    page = open_verdict(visit(site := serve(fake_agent())), site)
    assert violations(page) == []
    with page.expect_download() as download:
        page.get_by_role("button", name="Download it").click()
        expect(page.get_by_text("It is being made")).to_be_visible()
    assert download.value.suggested_filename == "mine-classifier.zip"
    assert zipfile.is_zipfile(download.value.path())
    expect(page.get_by_text("It is being made")).to_be_hidden()
    expect(page.get_by_role("button", name="Download it")).to_be_enabled()


@pytest.mark.browser
def test_why_it_cannot_be_made_is_said(
    visit: Callable[..., Page], serve: Callable[..., Any], fake_agent: Callable[..., Agent],
    job: JobFolder,
) -> None:  # fmt: skip
    withdraw(ReviewStore(), ids=["training6"])
    site = serve(fake_agent())
    page = open_verdict(visit(site, **PHONE | {"locale": "zh-CN"}), site)
    page.get_by_role("button", name="下载这个分类器").click()
    alert = page.locator(".pb-save-fault [role=alert]")
    expect(alert).to_contain_text("如果有训练内容被撤回", use_inner_text=True)
    expect(alert).not_to_contain_text("could not be made", use_inner_text=True)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
