"""What the blanks of a pattern are filled with: languages, labels, topics, lengths."""

from __future__ import annotations

import random
from typing import Any

import regex
import yaml

from agent.planning import contents, patterns
from tasks import languages

WORDS: dict[str, Any] = yaml.safe_load((patterns.FOLDER / "fills.yaml").read_text("utf-8"))
TARGETS: list[str] = WORDS["targets"].split()
NAMED = tuple(WORDS["named"])
BLANK = regex.compile(rf"\{{(?:lang|langde|short|from|labels|pair|n|{'|'.join(NAMED)})\}}")
LENGTHS = [5, 10, 20, 25, 30, 40, 60, 80, 150, 200]
OR = {"en": " or ", "fr": " ou ", "de": " oder ", "es": " o "}
LISTED_WIDE = [
    *((mark, mark) for mark in "、，/|"),
    *(("、", word) for word in ("还是", "或", "和")),
]
EDGES = ["", "", "", "", "''", '""', "“”"]


class Blanks:
    """Fills blanks. One for each composer.

    Attributes:
        target: ISO 639-1 code of the first language that was filled in since it was reset.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._labels = contents.label_lists()
        self.target: str | None = None

    def fill(self, words: str, lang: str, content_lang: str) -> str:
        """The words of an instruction in `lang`, about a content in another, without blanks."""
        for blank in BLANK.findall(words):
            words = words.replace(blank, self._value(blank[1:-1], lang, content_lang, words), 1)
        return words

    def _value(self, blank: str, lang: str, content_lang: str, words: str) -> str:
        if blank in NAMED:
            named = WORDS["named"][blank]
            return str(self._rng.choice(named.get(lang, named["en"])))
        if blank == "from":
            return languages.name(content_lang, lang)
        if blank == "n":
            return str(self._rng.choice(LENGTHS))
        if blank in {"labels", "pair"}:
            return self._list(lang, pair=blank == "pair")
        return self._language(blank, lang, content_lang, words)

    def _language(self, blank: str, lang: str, content_lang: str, words: str) -> str:
        rng = self._rng
        if blank == "short":
            self.target = self.target or "en"
            return "英"
        if lang in WORDS["no_languages"] and rng.random() < 0.025:
            return str(rng.choice(WORDS["no_languages"][lang]))
        code = rng.choice([code for code in TARGETS if code != content_lang])
        self.target = self.target or code
        name = languages.name(code, lang)
        if blank == "langde" and regex.search(r"(?:ins|in) \{langde\}", words):
            name += "e" if name.endswith("sch") else ""  # ins Englische
        return name.lower() if rng.random() < 0.15 else name

    def _list(self, lang: str, pair: bool) -> str:
        """Labels in one of the forms that people write lists in."""
        rng, wide = self._rng, lang in {"zh", "ja"}
        if pair and lang in WORDS["pairs"]:
            return str(rng.choice(WORDS["pairs"][lang]))
        names = [n for n in rng.choice(self._labels) if len(n) < 16]
        fits = any(languages.HAN.search(n) for n in names) == wide
        if rng.random() < 0.5 or len(names) < 2 or not fits:
            names = WORDS["labels"]["zh" if wide else "en"]
        names = rng.sample(names, min(len(names), rng.choice([2, 3, 3, 3, 4, 5])))
        between, last = rng.choice(LISTED_WIDE if wide else _listed(OR[lang]))
        edge = rng.choice(EDGES)
        marked = [f"{edge[:1]}{name}{edge[-1:]}" for name in names]
        text = between.join(marked[:-1]) + last + marked[-1]
        return rng.choice([text, text, text, f"[{text}]", f"({text})"])


def _listed(word: str) -> list[tuple[str, str]]:
    """What stands between labels, and before the last of them."""
    marks = [(mark, mark) for mark in (", ", "/", " | ", "; ", ",")]
    return [*marks, (", ", word), (", ", "," + word)]
