"""What is no language stays as it stands: code, links, addresses, placeholders, tags.

A small model alters them now and then (`path/to/file` is words too). Where a text is worked on
sentence by sentence (`split: sentences`), such a part of the answer that the source does not hold
is taken back to the part of the source that it came from, whatever engine wrote it.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from engine.interface import Delta, Token

SIMILAR = 0.5  # how alike an altered part is to what it came from, see `_likeness`

# A run of letters, or of braces, is tried from its begin alone: from every place in it, one long
# run would take a time that grows with the square of its length.
_PART = re.compile(
    r"(?P<code>``[^\n]+?``|`[^`\n]+`)"
    r"|(?P<target>(?<=\])\([^()\s]*(?:\([^()\s]*\)[^()\s]*)*\))"  # of [a link](target)
    r"|(?P<address>(?:https?://|www\.)[!-~]+[/\w]|(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+)"
    r"|(?P<tag></?[A-Za-z][^<>\n]*>)"
    r"|(?P<placeholder>(?:\$|(?<!\{))\{++[^{}\n]*\}+|%\(\w+\)[a-z]|%(?:\d\$)?[sdif@](?!\w))",
    re.ASCII,
)
# A part, or the end of a text that may be the beginning of one.
_OPEN = re.compile(
    r"(?P<double>``(?:(?!``)[^\n])*$)|" + _PART.pattern + r"|(?P<open>(?:`[^`\n]*"
    r"|\]|(?<=\])\([^()\s]*(?:\([^()\s]*\)?[^()\s]*)?|</?(?:[A-Za-z][^<>\n]*)?"
    r"|\$|\$?\{+[^{}\n]*|%(?:\(\w*\)?|\d\$?)?)$)",
    re.ASCII,
)
_GROWING = {"double", "open", "address", "placeholder"}  # at the end, more of them may come
# Addresses have no mark at their begin: where the source has some, the last word is held back.
_LAST_WORD = re.compile(r"[!-~]+$")
_NUMBER = re.compile(r"\d+(?:[.,:\u00a0\u202f' ]\d+)*")
_EMOJI = re.compile(r"[\u2600-\u27bf\U0001f300-\U0001faff]")


@dataclass(frozen=True)
class Part:
    """A part that is no language: what kind, and as it stands."""

    kind: str
    text: str


def parts(text: str) -> Iterator[Part]:
    """The parts of a text that are no language, in order."""
    for match in _PART.finditer(text):
        yield Part(str(match.lastgroup), match.group())


def without_parts(text: str) -> str:
    """The text without them."""
    return _PART.sub("", text)


def kept(text: str) -> bool:
    """Whether there is anything in it that an answer must have as it stands, see `lost`."""
    return bool(lost(text, ""))


def lost(source: str, answer: str) -> list[str]:
    """What the answer lacks of the source's parts, numbers of two digits or more, and emoji.

    A number counts by its digits: 1,299.50 and 1 299,50 are one. Small numbers may be words.
    """
    missing = Counter(part.text for part in parts(source))
    missing -= Counter(part.text for part in parts(answer))
    rest, rest_answer = without_parts(source), without_parts(answer)
    digits = Counter(_digits(number) for number in _NUMBER.findall(rest_answer))
    for number in _NUMBER.findall(rest):
        if len(_digits(number)) > 1 and not digits[_digits(number)]:
            missing[number] += 1
    missing += Counter(_EMOJI.findall(rest)) - Counter(_EMOJI.findall(rest_answer))
    return list(missing.elements())


def _likeness(altered: str, original: str) -> float:
    """From 0 to 1, as difflib counts it; half and more where only the words differ."""
    ratio = difflib.SequenceMatcher(a=altered, b=original).ratio()
    signs, signs_before = (re.sub(r"\w+", "w", text) for text in (altered, original))
    return (1 + ratio) / 2 if signs == signs_before else ratio


def _digits(number: str) -> str:
    return re.sub(r"\D", "", number)


class Restorer:
    """Takes altered parts of an answer back to the source's, while the answer is written.

    Feed it each `Delta` and emit what it returns; `rest` at the end gives what it still holds.
    A part is held back until it is whole.
    """

    def __init__(self, source: str) -> None:
        self._source = list(parts(source))
        self._left = list(self._source)
        self._addresses = any(part.kind == "address" for part in self._source)
        self._held = ""
        self._tokens: tuple[Token, ...] = ()

    def feed(self, delta: Delta) -> Delta:
        """As much of the answer as is settled; its text may be empty."""
        if not self._source:
            return delta
        self._held += delta.text
        self._tokens += delta.tokens
        begin = self._open()
        whole, self._held = self._held[:begin], self._held[begin:]
        return self._settled(whole)

    def rest(self) -> Delta:
        """What was held back."""
        whole, self._held = self._held, ""
        return self._settled(whole)

    def _open(self) -> int:
        end = len(self._held)
        begins = [
            match.start()
            for match in _OPEN.finditer(self._held)
            if match.end() == end and match.lastgroup in _GROWING
        ]
        if self._addresses and (match := _LAST_WORD.search(self._held)):
            begins.append(match.start())
        begin = min(begins, default=end)
        cut = (part for part in _PART.finditer(self._held) if part.start() < begin < part.end())
        return min((part.start() for part in cut), default=begin)

    def _settled(self, text: str) -> Delta:
        tokens, self._tokens = self._tokens, ()
        return Delta(_PART.sub(self._restored, text), tokens)

    def _restored(self, match: re.Match[str]) -> str:
        part = Part(str(match.lastgroup), match.group())
        if part in self._left:
            self._left.remove(part)
        if part in self._source:
            return part.text
        alike = [
            (_likeness(part.text, other.text), other)
            for other in self._left
            if other.kind == part.kind
        ]
        ratio, best = max(alike, key=lambda pair: pair[0], default=(0.0, part))
        if ratio < SIMILAR:
            return part.text
        self._left.remove(best)
        return best.text
