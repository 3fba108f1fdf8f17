"""What programs are told of an answer's quality, and of what can answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from named_starter import Starter
from served import Site, served

from agent.agent import Agent
from agent.planning.planner import Planner
from tasks.spec import load_tasks


@pytest.fixture(scope="module")
def starter(planner: Planner) -> Iterator[Site]:
    with served(Agent(Starter("La bibliothèque est fermée.", 0.31), load_tasks(), planner)) as site:
        yield site


def step(site: Site, text: str) -> dict[str, Any]:
    body = {"model": "auto", "messages": [{"role": "user", "content": text}]}
    answer = httpx.post(f"{site.address}/v1/chat/completions", json=body, timeout=60)
    found: dict[str, Any] = answer.json()["patchbay"]["steps"][0]
    return found


def test_an_answer_says_how_such_answers_were_judged(starter: Site) -> None:
    found = step(starter, "Translate into French: The library is closed on Mondays.")
    figure = found["measured"][0]
    assert (figure["figure"], figure["texts"], figure["rows"]) == (
        "bleu",
        "everyday sentences",
        500,
    )
    assert figure["low"] < figure["value"] < figure["high"]
    assert found["probability"] == pytest.approx(0.31)
    assert found["notices"] == [
        "The model found its own words unlikely (31% a token). Check the answer."
    ]


def test_a_language_that_the_base_does_not_know_is_said(starter: Site) -> None:
    found = step(starter, "Translate into Japanese: The library is closed on Mondays.")
    assert found["adapter"] == "generation"
    assert found["measured"] == []
    assert found["notices"][0].startswith("gemma-3-270m does not know Japanese")
    assert "The profile gpu or zero" in found["notices"][0]


def test_the_list_of_models_has_what_is_known_of_each(starter: Site) -> None:
    found = httpx.get(f"{starter.address}/v1/models").json()["data"]
    models = {one["id"]: one["patchbay"] for one in found}
    assert models["google/gemma-3-270m"]["languages"] == ["en", "zh", "fr", "de", "es"]
    translation = models["translation"]
    assert {"en", "zh", "fr", "de", "es"} == set(translation["languages"])
    assert {"source": "en", "target": "fr"} in [one["slots"] for one in translation["measured"]]
    assert translation["data"]["tatoeba_en_fr"] == "CC BY 2.0 FR"
    assert translation["size"] > 1_000_000
    assert translation["trained"].startswith("2026-")
    assert translation["promoted"] is False
