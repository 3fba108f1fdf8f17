"""Contents to compose training requests of: the project's own texts, and texts that mislead."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import regex

from agent.planning.patterns import FOLDER, is_held_out
from core import paths
from tasks import languages

SENTENCE = regex.compile(r"[^.!?。！？\n]+(?:[.!?]+(?=\s|$)|[。！？]+|[.!?]|$)\s*|\n")
SPEAKERS = [("A", "B"), ("Tom", "Ana"), ("#Person1#", "#Person2#"), ("甲", "乙")]
LONGEST = 1600  # characters; of a longer text only the ends are read anyway


@dataclass(frozen=True)
class Content:
    """A text to work on, and the language it is in."""

    text: str
    lang: str


class Contents:
    """A pool of texts by the file they come from.

    Args:
        held_out: the texts kept out of training, instead of the others.
    """

    def __init__(self, held_out: bool = False) -> None:
        pool: dict[str, list[Content]] = {}
        for kind, text, lang in _texts():
            if is_held_out(text) == held_out:
                pool.setdefault(kind, []).append(Content(text, lang))
        self._pool = pool

    def draw(self, rng: random.Random, kind: str | None = None, lang: str | None = None) -> Content:
        """A text or some sentences of one; of the kind and language if there is any."""
        kinds = [kind] if kind in self._pool else list(self._pool)
        for _ in range(30):
            content = rng.choice(self._pool[rng.choice(kinds)])
            if lang is None or content.lang == lang:
                return Content(_part(content.text, rng), content.lang)
        return Content(_part(content.text, rng), content.lang)


def _part(text: str, rng: random.Random) -> str:
    """All of it, or some neighbouring sentences."""
    if rng.random() < 0.5 and len(text) < LONGEST:
        return text
    sentences = SENTENCE.findall(text)
    most = rng.choice([1, 2, 3, 5, 8, 12])
    start = rng.randrange(max(1, len(sentences) - most + 1))
    return "".join(sentences[start : start + most]).strip()[:LONGEST] or text[:LONGEST]


def as_copied(content: Content, rng: random.Random) -> str:
    """The text as it looks where people copy it from: tokenized, wrapped, cited, listed, spoken."""
    text, dice = content.text, rng.random()
    if dice < 0.06 and content.lang == "en":
        text = regex.sub(r"\s*([.,!?;:()])\s*", r" \1 ", text.lower()).strip()
    elif dice < 0.10:
        text = "\n".join(text[i : i + 70] for i in range(0, len(text), 70))
    elif dice < 0.13:
        text = "\n".join("> " + line for line in text.splitlines())
    elif dice < 0.16:
        text = "\n".join(f"- {part}" for part in _sentences(text))
    elif dice < 0.18 and content.lang == "zh":
        text = text.replace("，", ",").replace("。", ".")
    elif dice < 0.21:
        names = rng.choice(SPEAKERS)
        text = "\n".join(f"{names[i % 2]}: {part}" for i, part in enumerate(_sentences(text)))
    return text.strip() or content.text


def within_a_sentence(text: str) -> str:
    """The text on one line; of a long one its first sentence."""
    line = regex.sub(r"\s*\n\s*", " ", text)
    return line if len(line) <= 200 else (_sentences(line) or [line])[0][:200]


def _sentences(text: str) -> list[str]:
    return [part.strip() for part in SENTENCE.findall(text) if part.strip()]


def _texts() -> Iterator[tuple[str, str, str]]:
    """Kind, text and language."""
    for name in ("sentiment", "news", "labels", "labels-described"):
        for row in _rows(name):
            yield name.split("-")[0], row["text"], _language(row["text"])
    for row in _rows("summaries"):
        yield "documents", row["document"], _language(row["document"])
        yield "documents", row["summary"], _language(row["document"])
    for name in ("parallel-life", "parallel-news", "parallel-tech"):
        for row in _rows(name):
            lang = list(row)[len(row["en"]) % len(row)]
            yield name, row[lang], lang
    for row in _rows("chat"):
        answers = [turn["content"] for turn in row["messages"] if turn["role"] == "assistant"]
        yield "answers", answers[0], _language(answers[0])
    for kind in ("decoys", "short"):
        file = FOLDER / f"{kind}.json"
        for lang, texts in json.loads(file.read_text(encoding="utf-8")).items():
            for text in texts:
                yield kind, text, lang


@cache
def _rows(name: str) -> list[dict[str, Any]]:
    file = paths.REPOSITORY / "finetune" / "rows" / f"{name}.jsonl"
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line]


def questions(held_out: bool = False) -> list[tuple[str, str]]:
    """What people ask in conversation, with its language."""
    texts = [row["messages"][0]["content"] for row in _rows("chat")]
    return [(text, _language(text)) for text in texts if is_held_out(text) == held_out]


def label_lists() -> list[list[str]]:
    """Lists of labels as people name them."""
    lists = {tuple(row["labels"]) for row in _rows("labels")}
    return [list(labels) for labels in sorted(lists)]


def _language(text: str) -> str:
    return languages.detect(text)
