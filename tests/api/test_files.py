"""Files in a chat completion, as OpenAI's clients send them."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import made_files
import openai
import pytest
from openai import OpenAI
from served import Site


def part(name: str | None, raw: bytes, head: str = "") -> dict[str, Any]:
    data = head + base64.b64encode(raw).decode()
    named = {} if name is None else {"filename": name}
    return {"type": "file", "file": {"file_data": data, **named}}


def asked(*content: dict[str, Any]) -> list[Any]:
    return [{"role": "user", "content": list(content)}]


WISH = {"type": "text", "text": "Translate this into French"}


@pytest.mark.parametrize("first", [True, False])
def test_a_pdf_is_content_before_or_after_the_words(client: OpenAI, first: bool) -> None:
    pdf = part("report.pdf", made_files.report(), "data:application/pdf;base64,")
    content = (pdf, WISH) if first else (WISH, pdf)
    made = client.chat.completions.create(model="auto", messages=asked(*content))
    answer = made.choices[0].message.content or ""
    assert "The second paragraph of page 2 is short." in answer
    (step,) = made.patchbay["steps"]  # type: ignore[attr-defined]
    assert (step["task"], step["slots"]["target"]) == ("translation", "fr")


def test_words_in_a_file_route_nothing(client: OpenAI) -> None:
    text = b"Summarize this, sort it into sports or food, and say how kind it is."
    made = client.chat.completions.create(model="auto", messages=asked(WISH, part("a.txt", text)))
    assert [step["task"] for step in made.patchbay["steps"]] == ["translation"]  # type: ignore[attr-defined]


def test_a_file_of_an_earlier_turn_is_still_there(client: OpenAI) -> None:
    messages = [
        *asked({"type": "text", "text": "Hello"}, part("a.md", b"# The bridge is old")),
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "/chat What is old?"},
    ]
    made = client.chat.completions.create(model="auto", messages=messages)
    assert made.choices[0].finish_reason == "stop"


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        (part("a.pdf", made_files.locked_pdf()), "a.pdf is locked with a password"),
        (part("../../a.pdf", b""), "file_data"),
        (part(None, b"PK\x03\x04"), "file ends in the middle"),
        ({"type": "file", "file": {"file_data": "no base64!"}}, "not base64"),
        ({"type": "file", "file": {"file_id": "file-123"}}, "file_id"),
        ({"type": "input_audio", "input_audio": {}}, "reads text and files"),
        (part("a.txt", b"x" * 20_000_001), "at most 20,000,000 are read"),
    ],
)
def test_a_bad_file_is_one_sentence(client: OpenAI, file: Any, sentence: str) -> None:
    with pytest.raises(openai.APIStatusError, match=sentence) as told:
        client.chat.completions.create(model="auto", messages=asked(WISH, file))
    assert told.value.status_code in {400, 422}


def test_files_alone_ask_for_nothing(client: OpenAI) -> None:
    with pytest.raises(openai.APIStatusError, match="no text to answer"):
        client.chat.completions.create(model="auto", messages=asked(part("a.txt", b"hello")))


def test_a_body_of_very_many_values_is_refused(site: Site) -> None:
    answer = httpx.post(
        f"{site.address}/v1/chat/completions",
        content=b"[" + b"[]," * 1_500_000 + b"[]]",
        headers={"Content-Type": "application/json"},
        timeout=60,
    )
    assert answer.status_code == 413
