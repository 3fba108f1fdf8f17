"""An instruction around its content as people type it: above or below, quoted, with slips."""

from __future__ import annotations

import random
from collections.abc import Callable

import regex

from agent.planning.blanks import WORDS
from agent.planning.contents import Content
from agent.planning.patterns import ASIDE, CONTENT, Pieces

QUOTES: list[str] = WORDS["quotes"]
ABOVE = regex.compile(
    r"above|上文|上述|上面|以上|前面|ci-dessus|précède|obige|Obige|oben|anterior|arriba|上の|上記|前述"
)
BELOW = regex.compile(
    r"below|following|follows|下面|以下|下列|下文|suivant|ci-dessous|folgende|Folgende|unten|siguiente"
    r"|abajo|次の|下の|如下"
)
GAPS_ABOVE = ["\n\n", "\n\n", "\n", "\n", " ", " ", "\n---\n", " - ", "\n\n\n"]
THANKS = {"zh": ["谢谢！", "谢谢"], "en": ["Thanks!", "Thank you."]}
Aside = Callable[[str], str]  # language -> words that ask for nothing


def is_wide(lang: str) -> bool:
    """Whether a language is written without spaces."""
    return lang in {"zh", "ja"}


def place(
    pieces: Pieces, content: Content, lang: str, *, rng: random.Random, aside: Aside
) -> Pieces:
    """The instruction with the content, unless that stands within it already."""
    pieces = slips(pieces, rng)
    if any(tag == CONTENT for _, tag in pieces):
        return manners(pieces, lang, rng, aside)
    asked = "".join(words for words, _ in pieces)
    tag = pieces[-1][1]
    body = _dressed(content, tag, lang, rng)
    pieces = manners(pieces, lang, rng, aside)
    if ABOVE.search(asked) or (not BELOW.search(asked) and rng.random() < 0.3):
        words, last = pieces[-1]
        if asked.rstrip().endswith((":", "：")):
            pieces[-1] = (words.rstrip().rstrip(":："), last)
        return [*body, (rng.choice(GAPS_ABOVE), tag), *pieces]
    placed = [*pieces, (_gap(asked, lang, rng, quoted=len(body) > 1), tag), *body]
    if rng.random() < 0.04:
        placed.append(("\n\n" + rng.choice(THANKS.get(lang, THANKS["en"])), ASIDE))
    return placed


def manners(pieces: Pieces, lang: str, rng: random.Random, aside: Aside) -> Pieces:
    """Now and then a greeting before it, or a word that asks for nothing behind."""
    if rng.random() > 0.14:
        return pieces
    words, wide = aside(lang), is_wide(lang)
    leads = words.rstrip().endswith((":", "："))
    if rng.random() < 0.4 and not leads:
        last, tag = pieces[-1]
        if last.rstrip().endswith((":", "：")) or tag == CONTENT:
            return pieces
        gap = "" if wide else " "
        if not last.rstrip().endswith((".", "。", "?", "？", "!")):
            gap = rng.choice(["，", "。"] if wide else [", ", ". ", " - "])
        return [*pieces, (gap + words, ASIDE)]
    if not leads and not words.rstrip().endswith((".", "。", "!", "！", ",", "，")):
        words += rng.choice(["，", "。"] if wide else [", ", ". ", "; ", " - "])
    return [(words + ("" if wide or words.endswith(" ") else " "), ASIDE), *pieces]


def slips(pieces: Pieces, rng: random.Random) -> Pieces:
    """The instruction in lower case, without its point, with a slip of the pen, or shouted."""
    dice = rng.random()
    if dice < 0.16:
        pieces = _changed(pieces, str.lower)
    if dice < 0.08 or rng.random() < 0.05:
        words, tag = pieces[-1]
        if tag != CONTENT:
            pieces = [*pieces[:-1], (words.rstrip(" .。?？!"), tag)]
    if rng.random() < 0.04:
        pieces = _changed(pieces, lambda words: _typo(words, rng))
    if rng.random() < 0.01:
        pieces = _changed(pieces, str.upper)
    return [(words, tag) for words, tag in pieces if words]


def _changed(pieces: Pieces, change: Callable[[str], str]) -> Pieces:
    return [(words if tag == CONTENT else change(words), tag) for words, tag in pieces]


def _dressed(content: Content, tag: str, lang: str, rng: random.Random) -> Pieces:
    """The content, in quotes or behind a word that says what it is."""
    body: Pieces = [(content.text, CONTENT)]
    if (rng.random() < 0.22 and "\n" not in content.text) or rng.random() < 0.06:
        open_, close = rng.choice(QUOTES).split("{}")
        body = [(open_, tag), *body, (close, tag)]
    if rng.random() < 0.06:
        lead = rng.choice(WORDS["leads"][lang]) + rng.choice(["", " ", "\n"])
        body = [(lead, tag), *body]
    return body


def _gap(asked: str, lang: str, rng: random.Random, quoted: bool) -> str:
    """What stands between an instruction and the content below it."""
    wide = is_wide(lang)
    if asked.rstrip().endswith((":", "：", ".", "。", "?", "？", "!")):
        return rng.choice(["\n\n", "\n", "" if wide else " "])
    colon = "：" if wide else ": "
    gaps = ["\n\n", "\n", colon, colon, ":\n", ":\n\n", " - ", " -> "]
    return rng.choice([*gaps, "。" if wide else ". ", " " if quoted else "\n"])


def _typo(words: str, rng: random.Random) -> str:
    places = [m.start() for m in regex.finditer(r"(?<=\p{Latin}{2})\p{Latin}(?=\p{Latin})", words)]
    if not places:
        return words
    at = rng.choice(places)
    one, two = words[at], words[at + 1]
    slip = rng.choice([two, one + one + two, two + one])  # left out, doubled, or swapped
    return words[:at] + slip + words[at + 2 :]
