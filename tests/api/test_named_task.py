"""An adapter that is named does its task: its prompt, its slots, the last message as content."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from served import Site

from adapter_store.scope import Scope
from engine.interface import ChooseRequest, WriteRequest


def ask(site: Site, model: str, text: str, before: Any = (), **patchbay: Any) -> httpx.Response:
    messages = [*before, {"role": "user", "content": text}]
    body: dict[str, Any] = {"model": model, "messages": messages}
    if patchbay:
        body["patchbay"] = patchbay
    return httpx.post(f"{site.address}/v1/chat/completions", json=body, timeout=30)


def answered(answer: httpx.Response) -> tuple[str, dict[str, Any]]:
    """The text and its only step."""
    assert answer.status_code == 200, answer.text
    (step,) = answer.json()["patchbay"]["steps"]
    return answer.json()["choices"][0]["message"]["content"], step


def prompt(site: Site) -> list[Any]:
    call = site.agent.engine.calls[-1]  # type: ignore[attr-defined]
    assert isinstance(call, WriteRequest | ChooseRequest)
    return list(call.messages)


@pytest.fixture(scope="module")
def scoped(serve_shared: Callable[..., Site]) -> Site:
    """One whose adapter for French was trained for French and English."""
    languages = {"target": ["en", "fr"], "source": ["en", "fr"]}
    return serve_shared(scopes={"translation-en-fr": Scope(slots=languages)})


def test_an_adapter_that_chooses_answers_with_its_label(site: Site) -> None:
    text, step = answered(ask(site, "sentiment-en", "I loved every minute, it is positive."))
    assert text == "positive"
    assert (step["task"], step["adapter"]) == ("sentiment", "sentiment-en")
    assert sum(step["labels"].values()) == pytest.approx(1)


def test_an_adapter_that_writes_gets_its_prompt(scoped: Site) -> None:
    text, step = answered(ask(scoped, "translation-en-fr", "Good night, and thank you."))
    assert text == "[translation-en-fr] Good night, and thank you."
    assert step["slots"] == {"target": "fr", "source": "en"}
    assert prompt(scoped)[0] == {"role": "system", "content": "Translate English to French."}


def test_slots_come_from_the_words(scoped: Site) -> None:
    text, step = answered(ask(scoped, "translation-en-fr", "Translate into French: Good night."))
    assert text == "[translation-en-fr] Good night."
    assert step["slots"]["target"] == "fr"
    text, step = answered(ask(scoped, "translation-en-fr", "Bonne nuit, et merci à tous."))
    assert step["slots"] == {"target": "en", "source": "fr"}


def test_given_slots_leave_the_whole_message_content(site: Site) -> None:
    said = "Translate into German: Good night."
    text, step = answered(ask(site, "translation-en-fr", said, slots={"target": "French"}))
    assert text == f"[translation-en-fr] {said}"
    assert step["slots"]["target"] == "fr"
    text, _ = answered(ask(site, "translation-en-fr", said, slots={}))
    assert text == f"[translation-en-fr] {said}"


@pytest.mark.parametrize(
    ("patchbay", "said"),
    [
        ({"slots": {"target": "de"}}, "trained for target=en or fr, not 'de'"),
        ({"slots": {"target": "Klingonish"}}, "is no language"),
        ({"slots": {"length": "short"}}, "no slot 'length'; it has target, source"),
        ({"slots": {"target": ["fr", "de"]}}, "is one word"),
        ({"raw": True, "slots": {}}, "Leave one of them out"),
    ],
)
def test_slots_that_it_cannot_have_are_refused(
    scoped: Site, patchbay: dict[str, Any], said: str
) -> None:
    answer = ask(scoped, "translation-en-fr", "Good night.", **patchbay)
    assert answer.status_code == 422
    assert said in answer.json()["error"]["message"]


def test_another_language_in_the_words_is_refused_and_not_replaced(scoped: Site) -> None:
    answer = ask(scoped, "translation-en-fr", "Translate into Chinese: Good night.")
    assert answer.status_code == 422
    assert "not 'zh'" in answer.json()["error"]["message"]


def test_a_system_message_is_left_out_and_that_is_said(site: Site) -> None:
    system = {"role": "system", "content": "You are a pirate."}
    _, step = answered(ask(site, "translation-en-fr", "Good night.", [system]))
    assert "system message was left out" in step["notices"][0]
    assert "pirate" not in str(prompt(site))
    _, step = answered(ask(site, "translation-en-fr", "Good night.", [system], raw=True))
    assert prompt(site) == [system, {"role": "user", "content": "Good night."}]
    assert (step["task"], step["notices"]) == (None, [])


def test_a_task_can_be_named_in_place_of_routing(site: Site) -> None:
    text, step = answered(ask(site, "auto", "so positive, good night", task="sentiment"))
    assert (text, step["task"]) == ("positive", "sentiment")
    labels = ["ships", "trains"]
    answer = ask(site, "auto", "trains, trains", task="classification", slots={"labels": labels})
    assert answered(answer)[0] == "trains"
    assert ask(site, "auto", "x", slots={"target": "fr"}).status_code == 422
    assert ask(site, "auto", "x", raw=True).status_code == 422
    assert ask(site, "fake", "x", task="sentiment").status_code == 422
    assert ask(site, "auto", "x", task="sentimental").status_code == 404


def test_a_key_that_may_not_use_it_does_not_get_it_by_its_task(locked: Site) -> None:
    from visitors import BOB

    body = {"model": "translation-en-fr", "messages": [{"role": "user", "content": "Good night."}]}
    headers = {"Authorization": f"Bearer {BOB}"}
    answer = httpx.post(f"{locked.address}/v1/chat/completions", json=body, headers=headers)
    assert answer.status_code == 403
