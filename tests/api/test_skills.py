"""Routing and classifying over HTTP."""

from __future__ import annotations

import copy
from typing import Any

import httpx
import pytest
from served import Site, served

from agent.agent import Agent
from agent.planning.planner import Planner
from engine.fake import FakeEngine
from tasks.spec import load_tasks


def post(site: Site, path: str, body: Any) -> httpx.Response:
    return httpx.post(f"{site.address}{path}", json=body, timeout=30)


def test_a_route_is_planned_and_nothing_computed(site: Site) -> None:
    before = site.agent.engine.passes
    text = "Summarize this and put it in French: The bridge is old. It will be closed."
    plan = post(site, "/v1/route", {"input": text}).json()
    assert [step["task"] for step in plan["steps"]] == ["summarization", "translation"]
    assert plan["steps"][1]["slots"]["target"] == "fr"
    assert 0.5 < plan["confidence"] == min(step["confidence"] for step in plan["steps"])
    assert site.agent.engine.passes == before


def test_a_follow_up_is_routed_by_its_history(site: Site) -> None:
    history = [
        {"role": "user", "content": "Translate into German: Good night."},
        {"role": "assistant", "content": "Gute Nacht."},
    ]
    plan = post(site, "/v1/route", {"input": "And in Italian?", "history": history}).json()
    (step,) = plan["steps"]
    assert (step["task"], step["slots"]["target"]) == ("translation", "it")


def test_labels_come_with_probabilities(site: Site) -> None:
    found = post(site, "/v1/classify", {"input": "so positive", "task": "sentiment"}).json()
    assert found["label"] == "positive" == next(iter(found["labels"]))
    assert sum(found["labels"].values()) == pytest.approx(1)
    (step,) = found["patchbay"]["steps"]
    assert step["adapter"] == "sentiment-en"
    own = {"input": "all about cooking", "labels": ["sports", "cooking", "x"]}
    found = post(site, "/v1/classify", own).json()
    assert found["label"] == "cooking"
    assert set(found["labels"]) == {"sports", "cooking", "x"}
    assert found["usage"]["total_tokens"] > 0


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"input": "x", "task": "translation"}, 422, "it writes"),
        ({"input": "x", "task": "sentimant"}, 404, "Did you mean sentiment"),
        ({"input": "x", "task": "sentiment", "labels": ["a", "b"]}, 422, "has labels already"),
        ({"input": "x", "labels": ["a"]}, 400, "labels"),
        ({"input": "x", "labels": ["a", "a"]}, 400, "twice"),
        ({"input": "\x00"}, 422, "no text"),
        ({"labels": ["a", "b"]}, 400, "input: Field required"),
    ],
)
def test_what_cannot_be_classified(site: Site, body: Any, status: int, said: str) -> None:
    response = post(site, "/v1/classify", body)
    assert response.status_code == status
    assert said in response.json()["error"]["message"]


def test_an_uncertain_route_is_taken_and_said(planner: Planner) -> None:
    unsure = copy.copy(planner)
    unsure.threshold = 1.1
    text = "Translate into French: Good night."
    body = {"model": "auto", "messages": [{"role": "user", "content": text}]}
    with served(Agent(FakeEngine(), load_tasks(), unsure)) as site:
        answer = post(site, "/v1/chat/completions", body).json()
        assert answer["choices"][0]["message"]["content"]
        assert answer["patchbay"]["uncertain"] is True
        assert answer["patchbay"]["alternatives"]
        lines = post(site, "/v1/chat/completions", {**body, "stream": True}).text.splitlines()
        assert [line for line in lines if '"uncertain":true' in line]
        assert post(site, "/v1/route", {"input": text}).json()["uncertain"] is True
        named = {**body, "messages": [{"role": "user", "content": f"/translate fr {text}"}]}
        assert post(site, "/v1/chat/completions", named).json()["patchbay"]["uncertain"] is False
