"""A request -> its tokens, and what the planner's network sees of each: its letters and its form.

Letters are character n-grams hashed into rows of an embedding table (as in fastText, Bojanowski et
al. 2017), so that every language and every slip of the pen has a representation. Form is where the
token stands: position, line, quotes, sentence end, script. Common words have a vector of their own
beside their letters. Of a long text the two ends are read.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import regex
from numpy.typing import NDArray

from agent.planning import words
from tasks import languages

VERSION = 2  # of what is computed here, see `version`
BUCKETS = 1 << 15  # rows for n-grams, behind those for forms
HEAD_TOKENS, TAIL_TOKENS = 130, 90
HEAD_CHARACTERS, TAIL_CHARACTERS = 1000, 700
TOKEN = regex.compile(
    r"\n\s*|[\p{Han}\p{Hiragana}\p{Katakana}ー]|(?:(?![\p{Han}\p{Hiragana}\p{Katakana}ー])[\p{L}\p{M}])+"
    r"|\p{N}+|[^\s]"
)
QUOTED = regex.compile(
    r"```.*?```|“[^”]*”|„[^“”]*[“”]|\"[^\"]*\"|「[^」]*」|『[^』]*』|«[^»]*»|‹[^›]*›|‘[^’]*’|`[^`\n]*`"
    r"|(?<![\p{L}\p{N}])'[^'\n]*(?:'\p{L}[^'\n]*)*'(?![\p{L}\p{N}])",
    regex.S,
)
SENTENCE_END = regex.compile(r"[.!?…]+(?=\s|[\"”’»)\]]|$)|[。！？；：:;]|\n")
WIDE = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}ー]")
SCRIPTS = [
    regex.compile(rf"\p{{{name}}}") for name in ("Latin", "Han", "Hiragana", "Katakana", "Cyrillic")
]
FORM_SIZES = {  # how many values each form has
    "kind": 12, "case": 4, "spaced": 2, "from_start": 10, "from_end": 10, "line_first": 4,
    "line_length": 8, "lines": 6, "in_line": 6, "quoted": 6, "language": 2, "ends": 8,
    "total": 8, "script": 7, "line_place": 4, "sentences": 6,
}  # fmt: skip
FIRST = dict(zip(FORM_SIZES, np.cumsum([0, *FORM_SIZES.values()])[:-1].tolist(), strict=True))
FORMS = sum(FORM_SIZES.values())
ROWS = FORMS + BUCKETS
ENDINGS = {
    "?": 1,
    "？": 1,
    ".": 2,
    "。": 2,
    ":": 3,
    "：": 3,
    "!": 4,
    "！": 4,
    "\n": 5,
    ";": 6,
    "；": 6,
}
# Traditional characters beside their simplified ones: read alike, as most patterns are simplified.
_PAIRS = Path(__file__).with_name("traditional.txt").read_text(encoding="utf-8").replace("\n", "")
SIMPLIFIED = str.maketrans(_PAIRS[::2], _PAIRS[1::2])


@dataclass(frozen=True)
class Token:
    """`text[start:end]` of a request."""

    start: int
    end: int
    text: str


@dataclass(frozen=True)
class Features:
    """What the network reads of a request of n tokens.

    Attributes:
        tokens: the n tokens.
        rows: rows of the embedding table, those of all tokens behind each other.
        offsets: (n,) where each token's rows begin.
        weights: as many as rows.
        words: rows of the table of words, those of all tokens behind each other.
        word_offsets: (n,) where each token's begin.
        gap: how many tokens come before the part that was left out; None: nothing was.
    """

    tokens: list[Token]
    rows: NDArray[np.int64]
    offsets: NDArray[np.int64]
    weights: NDArray[np.float32]
    words: NDArray[np.int64]
    word_offsets: NDArray[np.int64]
    gap: int | None = None


def version() -> str:
    """Of the features, with the words that have vectors; a network fits one version."""
    return f"{VERSION}-{words.fingerprint()}"


def of(text: str) -> Features:
    """The features of a request that is not empty."""
    tokens, gap = _tokens(text)
    quotes = _quote_lengths(text, tokens)
    named = _languages(text, tokens)
    lines = _lines(tokens)
    endings, sentences = _endings(text, tokens)
    rows: list[int] = []
    weights: list[float] = []
    offsets: list[int] = []
    known_words: list[int] = []
    word_offsets: list[int] = []
    count = len(tokens)
    for index, token in enumerate(tokens):
        offsets.append(len(rows))
        line, place, length = lines[index]
        last_line = lines[-1][0]
        kind, case, script = _look(token.text)
        values = {
            "kind": kind,
            "case": case,
            "spaced": int(token.start > 0 and text[token.start - 1].isspace()),
            "from_start": _bucket(index, 10),
            "from_end": _bucket(count - 1 - index, 10),
            "line_first": (line == 0) + 2 * (line == last_line),
            "line_length": _bucket(length, 8),
            "lines": _bucket(last_line, 6),
            "in_line": _bucket(place, 6),
            "quoted": _bucket(quotes[index], 6),
            "language": int(named[index]),
            "ends": endings[index],
            "total": _bucket(count, 8),
            "script": script,
            "line_place": min(3, last_line - line),
            "sentences": _bucket(sentences, 6),
        }
        rows += [FIRST[name] + value for name, value in values.items()]
        weights += [0.5] * len(values)
        grams = _language_grams(token) if named[index] else _grams(tokens, index)
        rows += grams
        weights += [len(grams) ** -0.5] * len(grams)
        word_offsets.append(len(known_words))
        known_words += () if named[index] else _words(tokens, index)
    return Features(
        tokens=tokens,
        rows=np.array(rows, np.int64),
        offsets=np.array(offsets, np.int64),
        weights=np.array(weights, np.float32),
        words=np.array(known_words, np.int64),
        word_offsets=np.array(word_offsets, np.int64),
        gap=gap,
    )


def _tokens(text: str) -> tuple[list[Token], int | None]:
    """The tokens, of a long text those of its ends, and how many of the first end."""
    if len(text) <= HEAD_CHARACTERS + TAIL_CHARACTERS:
        tokens = list(_cut(text, 0))
        if len(tokens) <= HEAD_TOKENS + TAIL_TOKENS:
            return tokens, None
        return tokens[:HEAD_TOKENS] + tokens[-TAIL_TOKENS:], HEAD_TOKENS
    head = list(_cut(text[:HEAD_CHARACTERS], 0))[:HEAD_TOKENS]
    start = len(text) - TAIL_CHARACTERS
    return head + list(_cut(text[start:], start))[-TAIL_TOKENS:], len(head)


def _cut(text: str, offset: int) -> Iterator[Token]:
    for match in TOKEN.finditer(text):
        yield Token(match.start() + offset, match.end() + offset, match.group())


def _quote_lengths(text: str, tokens: list[Token]) -> list[int]:
    """For each token how many tokens are quoted together with it; 0 outside of quotes."""
    return _by_token(tokens, _spans(QUOTED, text, tokens))


def _languages(text: str, tokens: list[Token]) -> list[bool]:
    """For each token whether it names a language."""
    spans = []
    for start, end in _ends(tokens):
        for mention in languages.find(text[start:end]):
            spans.append((mention.start + start, mention.end + start))
    return [length > 0 for length in _by_token(tokens, spans)]


def _spans(pattern: regex.Pattern[str], text: str, tokens: list[Token]) -> list[tuple[int, int]]:
    return [
        (match.start() + start, match.end() + start)
        for start, end in _ends(tokens)
        for match in pattern.finditer(text[start:end])
    ]


def _ends(tokens: list[Token]) -> list[tuple[int, int]]:
    """The parts of the text that were read."""
    parts: list[tuple[int, int]] = []
    for token in tokens:
        if parts and token.start - parts[-1][1] < 100:
            parts[-1] = (parts[-1][0], token.end)
        else:
            parts.append((token.start, token.end))
    return parts


def _by_token(tokens: list[Token], spans: list[tuple[int, int]]) -> list[int]:
    """For each token how many tokens share its span; 0 outside of all."""
    found = [0] * len(tokens)
    index = 0
    for start, end in sorted(spans):
        while index < len(tokens) and tokens[index].start < start:
            index += 1
        last = index
        while last < len(tokens) and tokens[last].end <= end:
            last += 1
        found[index:last] = [last - index] * (last - index)
        index = max(index, last)
    return found


def _lines(tokens: list[Token]) -> list[tuple[int, int, int]]:
    """For each token its line, its place there, and the line's length in tokens."""
    found: list[tuple[int, int, int]] = []
    line: list[int] = []
    number = 0
    for index, token in enumerate(tokens):
        line.append(index)
        if token.text.startswith("\n") or index == len(tokens) - 1:
            found += [(number, place, len(line)) for place in range(len(line))]
            line, number = [], number + 1
    return found


def _endings(text: str, tokens: list[Token]) -> tuple[list[int], int]:
    """For each token how its sentence ends, and the number of sentences."""
    ends = _spans(SENTENCE_END, text, tokens)
    found: list[int] = []
    place = 0
    for token in tokens:
        while place < len(ends) and ends[place][1] <= token.start:
            place += 1
        found.append(ENDINGS.get(text[ends[place][0]], 0) if place < len(ends) else 7)
    return found, len(ends)


@lru_cache(1 << 15)
def _look(word: str) -> tuple[int, int, int]:
    """Kind, case and script of a token."""
    script = next((i for i, name in enumerate(SCRIPTS, 1) if name.match(word)), 0)
    if word[0].isalpha() and script == 0:
        script = 6
    if word[0] == "\n":
        kind = 3 if word.count("\n") < 2 else 9
    elif WIDE.match(word):
        kind = 1
    elif word[0].isalpha():
        kind = 0
    elif word[0].isnumeric():
        kind = 2
    else:
        groups = {
            ":：": 4,
            ".。?？!！…": 5,
            "\"'“”‘’«»「」『』„`‹›": 6,
            ",，、;；": 7,
            "()（）[]【】": 10,
            "-–—|>*#": 11,
        }
        kind = next((k for letters, k in groups.items() if word[0] in letters), 8)
    case = (
        3
        if word.isupper() and len(word) > 1
        else 2
        if word[0].isupper()
        else 1
        if word.islower()
        else 0
    )
    return kind, case, script


def _bucket(value: int, most: int) -> int:
    """0, 1, 2, 3-4, 5-8, ... up to `most` buckets."""
    return min(most - 1, value if value < 3 else (value - 1).bit_length() + 1)


def _grams(tokens: list[Token], index: int) -> list[int]:
    word = tokens[index].text
    if not WIDE.match(word):
        return list(_word_grams(word))
    before = tokens[index - 1].text if index else "^"
    after = tokens[index + 1].text if index + 1 < len(tokens) else "$"
    beyond = tokens[index + 2].text if index + 2 < len(tokens) else "$"
    farther = tokens[index - 2].text if index > 1 else "^"
    around = (farther[:1], before[:1], word, after[:1], beyond[:1])
    return list(_wide_grams(around))


def _words(tokens: list[Token], index: int) -> tuple[int, ...]:
    word = tokens[index].text
    if not WIDE.match(word):
        return words.of_word(word)
    around = (_character(tokens, place) for place in (index - 1, index, index + 1))
    return words.of_character(*around)


def _character(tokens: list[Token], place: int) -> str:
    """A Chinese or Japanese one, simplified; empty where another token stands, or none."""
    if not 0 <= place < len(tokens) or not WIDE.match(tokens[place].text):
        return ""
    return tokens[place].text.translate(SIMPLIFIED)


@lru_cache(1 << 16)
def _wide_grams(around: tuple[str, ...]) -> tuple[int, ...]:
    farther, before, word, after, beyond = (part.translate(SIMPLIFIED) for part in around)
    grams = [word, before + word, word + after, before + word + after, word + after + beyond]
    return tuple(
        _row(f"h{place}{gram}") for place, gram in enumerate([*grams, farther + before + word])
    )


@lru_cache(1 << 16)
def _word_grams(word: str) -> tuple[int, ...]:
    low = word.casefold()
    if not low[0].isalpha():
        return (_row("o" + (low if not low[0].isnumeric() else "0" * min(4, len(low)))),)
    marked = f"<{low[:24]}>"
    grams = {marked[i : i + n] for n in (3, 4, 5) for i in range(len(marked) - n + 1)}
    return (_row("w" + low), *[_row("g" + gram) for gram in sorted(grams)][:40])


def _language_grams(token: Token) -> list[int]:
    return [
        _row("language"),
        _row("language-wide" if WIDE.match(token.text) else "language-narrow"),
    ]


@lru_cache(1 << 18)
def _row(gram: str) -> int:
    return FORMS + zlib.crc32(gram.encode()) % BUCKETS
