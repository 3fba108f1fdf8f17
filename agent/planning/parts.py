"""Where in a request the instruction is and where the content it is about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import regex

from tasks import languages

HEAD, TAIL = 1200, 600  # characters looked at for an instruction, at each end of the text
ASKING_PROBABILITY = 0.6  # from which a sentence asks for something
Asks = Callable[[list[str]], list[float]]

QUOTES = regex.compile(
    r"```.*?```|“[^”]*”|„[^“”]*[“”]|\"[^\"]*\"|「[^」]*」|『[^』]*』|«[^»]*»|‹[^›]*›|‘[^’]*’"
    r"|(?<![\p{L}\p{N}])'[^'\n]*(?:'\p{L}[^'\n]*)*'(?![\p{L}\p{N}])",
    regex.S,
)
SEPARATOR = regex.compile(r"[:：](?!\d)(?!//)|\s(?:-{1,2}|[–—|>]|>>|=>|->|→|⇒)\s|—{1,2}|\s→\s?|>>")
SENTENCE = regex.compile(
    r"[^.!?。！？；…\n]+(?:[.!?…](?=\s|[\"”’]|$)[\"”’]?|[。！？；]+|[.!?…]|$)|\n"
)
_LATIN = r"[^\p{Han}]*\p{Latin}{2,}\P{Han}+\p{Latin}{2,}[^\p{Han}]*"
_HAN = r"\p{Han}[^\p{Latin}]+"
SWITCHES = [
    regex.compile(rf"(?P<content>{_LATIN})(?P<asking>{_HAN})"),
    regex.compile(rf"(?P<asking>{_HAN})(?P<content>{_LATIN})"),
    regex.compile(rf"(?P<content>{_HAN})(?P<asking>{_LATIN})"),
]


@dataclass(frozen=True)
class Span:
    """`text[start:end]` of a request."""

    start: int
    end: int


@dataclass(frozen=True)
class Parts:
    """A request taken apart.

    Attributes:
        asking: the instruction's sentences, in order, content masked.
        content: the text to work on, or None when the request only points at one.
        certain: quotes, lines or a colon mark the content, so it is surely not instruction.
    """

    asking: tuple[str, ...]
    content: str | None
    certain: bool = False


def split(text: str, asks: Asks) -> Parts:
    """Take a request apart.

    Args:
        text: the request, not empty.
        asks: for sentences, the probability that each asks for something.
    """
    for attempt in (_by_lines, _by_quotes, _by_separator, _by_sentences, _by_script):
        parts = attempt(text, asks)
        if parts is not None:
            return parts
    return Parts((text[:HEAD],), content=None)


def mask_quotes(text: str) -> str:
    """The text with quoted passages as “…”."""
    return str(QUOTES.sub("“…”", text))


def sentences(text: str) -> list[Span]:
    """The sentences of a short text, quoted passages kept whole."""
    quoted = [match.span() for match in QUOTES.finditer(text)]
    spans: list[Span] = []
    for match in SENTENCE.finditer(text):
        start, end = match.span()
        if spans and any(s < start < e for s, e in quoted):
            spans[-1] = Span(spans[-1].start, end)
        elif text[start:end].strip():
            spans.append(Span(start, end))
    return spans


def _by_lines(text: str, asks: Asks) -> Parts | None:
    lines = [Span(*m.span()) for m in regex.finditer(r"[^\n]*\S[^\n]*", text)]
    if len(lines) < 2:
        return None
    head = _asking_start(text[lines[0].start : lines[0].end][:HEAD], asks)
    tail_line = text[lines[-1].start : lines[-1].end]
    tail = _asking_end(tail_line[-TAIL:], asks) if len(tail_line) <= TAIL else 0
    if head and tail and not _stands_apart(text, lines):
        tail = 0
    start = lines[0].start + head
    end = lines[-1].end - tail
    if not head and not tail:
        return None
    asking = [text[lines[0].start : start], text[end : lines[-1].end]]
    content = _strip(text[start:end])
    if content and QUOTES.fullmatch(content):
        content = content[1:-1]
    return Parts(tuple(_masked(asking)), content or None, certain=True)


def _stands_apart(text: str, lines: list[Span]) -> bool:
    return "\n\n" in text[lines[-2].end : lines[-1].start + 1]


def _asking_start(line: str, asks: Asks) -> int:
    """How many characters at the start of a line ask: up to its last asking sentence of four."""
    if line.rstrip().endswith((":", "：")):
        return len(line)
    spans = sentences(line)[:4]
    marks = asks([mask_quotes(line[s.start : s.end]) for s in spans])
    asking = [
        span.end for span, mark in zip(spans, marks, strict=True) if mark >= ASKING_PROBABILITY
    ]
    if not asking:
        return 0
    # Text that follows on the same line and does not ask is content only if it is much longer.
    rest = len(line) - asking[-1]
    return asking[-1] if rest > 60 else len(line)


def _asking_end(line: str, asks: Asks) -> int:
    spans = sentences(line)[-3:]
    marks = asks([mask_quotes(line[s.start : s.end]) for s in spans])
    for span, mark in zip(spans, marks, strict=True):
        if mark >= 0.75:
            return len(line) - span.start
    return 0


def _by_quotes(text: str, asks: Asks) -> Parts | None:
    if len(text) > HEAD + TAIL and not _quotes_close(text):
        return None
    quotes = [m for m in QUOTES.finditer(text) if m.end() - m.start() > 3]
    if not quotes:
        return None
    longest = max(quotes, key=lambda match: match.end() - match.start())
    before, after = text[: quotes[0].start()], text[quotes[-1].end() :]
    if len(_strip(after)) > 25 and asks([mask_quotes(after[:200])])[0] < 0.5:
        lead = SEPARATOR.search(before)
        if lead or asks([before])[0] >= ASKING_PROBABILITY:
            content = _strip(text[quotes[0].start() :])
            return Parts(tuple(_masked([before])), content, certain=True)
    outside = [mask_quotes(text)]
    inner = longest.group().strip("`")
    content = inner if longest.group().startswith("```") else inner[1:-1]
    return Parts(tuple(outside), _strip(content) or None, certain=_is_text(content))


def _is_text(quoted: str) -> bool:
    """Whether a quoted passage is more than a word or a term."""
    return len(regex.findall(r"\p{Han}|[\p{L}\p{N}]{4,}", quoted)) > 5 or quoted.count(" ") > 1


def _quotes_close(text: str) -> bool:
    first = QUOTES.search(text[:HEAD])
    return first is not None or QUOTES.search(text[-TAIL:]) is not None


def _by_separator(text: str, asks: Asks) -> Parts | None:
    marks = list(SEPARATOR.finditer(text[:HEAD]))[:6]
    lefts = [text[: mark.start()] for mark in marks]
    rights = [text[mark.end() :] for mark in marks]
    left_asks = asks([left[-200:] for left in lefts])
    right_asks = asks([right[:200] for right in rights])
    for left, right, asking in zip(lefts, rights, left_asks, strict=True):
        if asking >= 0.5 and _strip(right) and not (len(left) < 12 and languages.parse(left)):
            return Parts((left,), _strip(right), certain=True)
    for left, right, asking in zip(lefts, rights, right_asks, strict=True):
        if asking >= ASKING_PROBABILITY and len(right) < 120 and _strip(left):
            return Parts((right,), _strip(left), certain=True)
    return None


def _by_sentences(text: str, asks: Asks) -> Parts | None:
    head, tail = sentences(text[:HEAD])[:5], _tail_sentences(text)
    if len(head) < 2:
        return None
    marks = asks([text[s.start : s.end] for s in head])
    start = 0
    for position, (span, mark) in enumerate(zip(head, marks, strict=True)):
        if mark < (0.5 if position == 0 else 0.8) or (position and _is_long(text, span)):
            break
        start = span.end
    end = len(text)
    if start == 0:
        ends = asks([text[s.start : s.end] for s in tail])
        for span, mark in reversed(list(zip(tail, ends, strict=True))):
            if mark < ASKING_PROBABILITY:
                break
            end = span.start
    if start == 0 and end == len(text):
        return None
    asking = [text[:start], text[end:]]
    return Parts(tuple(_masked(asking)), _strip(text[start:end]) or None)


def _by_script(text: str, asks: Asks) -> Parts | None:
    """A phrase in one script beside an instruction in another: "Mind the gap 中文怎么说"."""
    for pattern in SWITCHES:
        match = pattern.fullmatch(text[:HEAD])
        if match and asks([match["asking"]])[0] >= ASKING_PROBABILITY:
            return Parts((match["asking"].strip(),), _strip(match["content"]), certain=True)
    return None


def _is_long(text: str, span: Span) -> bool:
    return len(regex.findall(r"\p{Han}|[\p{L}\p{N}]{3,}", text[span.start : span.end])) > 24


def _tail_sentences(text: str) -> list[Span]:
    cut = max(0, len(text) - TAIL)
    return [Span(s.start + cut, s.end + cut) for s in sentences(text[cut:])[-3:]]


def _masked(texts: list[str]) -> list[str]:
    return [mask_quotes(text) for text in texts if text.strip()]


def _strip(text: str) -> str:
    return text.strip().strip("|→>").strip()
