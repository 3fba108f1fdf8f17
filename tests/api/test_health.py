"""Health, metrics and the log."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from polling import eventually
from prometheus_client.parser import text_string_to_metric_families
from served import Site
from visitors import client_of

from api.logs import JsonLines

SECRET = "xylophone"


def samples(site: Site) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    text = httpx.get(f"{site.address}/metrics").text
    return {
        (one.name, frozenset(one.labels.items())): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }


def ask(site: Site, text: str) -> None:
    client_of(site).chat.completions.create(
        model="auto", messages=[{"role": "user", "content": text}]
    )


def test_health_and_readiness(site: Site) -> None:
    assert httpx.get(f"{site.address}/healthz").json() == {"status": "ok"}
    assert httpx.get(f"{site.address}/readyz").json() == {"status": "ready"}


def test_metrics_count_what_was_done(serve: Callable[..., Site]) -> None:
    site = serve()
    ask(site, "Translate into French: Good night.")
    ask(site, "/sentiment So positive.")
    httpx.get(f"{site.address}/v1/{SECRET}")
    found = samples(site)
    french = {("task", "translation"), ("adapter", "translation-en-fr")}
    assert found["patchbay_tokens_total", frozenset({("kind", "written"), *french})] == 3
    assert found["patchbay_step_seconds_count", frozenset(french)] == 1
    assert found["patchbay_first_token_seconds_count", frozenset(french)] == 1
    sure = frozenset({("task", "translation")})
    assert found["patchbay_route_confidence_count", sure] == 1
    assert found["patchbay_route_confidence_sum", sure] > 0.5
    assert ("patchbay_route_confidence_count", frozenset({("task", "sentiment")})) not in found
    chat = frozenset({("route", "/v1/chat/completions"), ("status", "200")})
    assert found["patchbay_requests_total", chat] == 2
    assert found["patchbay_turns_running", frozenset()] == 0
    assert found["patchbay_forward_passes_total", frozenset()] == site.agent.engine.passes
    assert found["process_resident_memory_bytes", frozenset()] > 1e6
    assert SECRET not in httpx.get(f"{site.address}/metrics").text, "no label a visitor made up"


def lines(caplog: pytest.LogCaptureFixture, count: int) -> list[dict[str, Any]]:
    """So many lines; the last may come a moment after its answer."""

    def requests() -> list[logging.LogRecord]:
        return [record for record in caplog.records if record.name == "patchbay.request"]

    assert eventually(lambda: len(requests()) == count)
    return [json.loads(JsonLines().format(record)) for record in requests()]


def test_the_log_has_a_line_a_request_and_nobodys_words(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    ask(site, f"/translate fr The {SECRET} is here.")
    for path in (f"/v1/{SECRET}", f"/v1/models/{SECRET}"):
        httpx.get(f"{site.address}{path}")
    answer = httpx.post(f"{site.address}/v1/classify", json={"input": SECRET, "task": SECRET})
    made, *_, last = lines(caplog, 4)
    assert (made["route"], made["status"]) == ("/v1/chat/completions", 200)
    assert (made["tasks"], made["adapters"]) == (["translation"], ["translation-en-fr"])
    assert made["completion_tokens"] > 0
    assert last["request"] == answer.headers["x-request-id"]
    assert last["status"] == 404
    ours = [record for record in caplog.records if not record.name.startswith("http")]
    assert SECRET not in "".join(JsonLines().format(record) for record in ours)


def test_words_are_logged_where_that_was_asked_for(
    serve: Callable[..., Site], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    ask(serve({"log_words": True}), f"/chat {SECRET}")
    (made,) = lines(caplog, 1)
    assert made["asked"] == f"/chat {SECRET}"
    assert made["answered"] == [f"[base] {SECRET}"]


def test_an_exceptions_words_stay_out_of_the_log() -> None:
    try:
        raise ValueError(SECRET)
    except ValueError:
        record = logging.makeLogRecord({"msg": "It broke", "exc_info": sys.exc_info()})
    line = json.loads(JsonLines().format(record))
    assert line["error"] == "ValueError"
    assert "test_health.py" in line["trace"]
    assert SECRET in JsonLines(words=True).format(record)
