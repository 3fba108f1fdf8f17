"""Bytes of a data file -> its text, in whatever encoding people saved it."""

from __future__ import annotations

import codecs
from collections.abc import Collection
from dataclasses import dataclass

import charset_normalizer

from core.errors import InputError
from core.statement import Statement, statement

BOMS = {  # UTF-32 first: its mark begins with that of UTF-16
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# What spreadsheets and editors write where it is not Unicode. More would only be confused.
LEGACY = ["gb18030", "big5", "cp932", "euc_jp", "cp949", "cp1252", "cp1251", "cp1250"]
SAMPLE = 1 << 16  # bytes of lines that are not ASCII, by which an encoding is told
CLOSE = 0.1  # difference of charset-normalizer's measure of chaos that decides nothing
CLEAR = 0.1  # difference of its coherence (letter frequencies of languages) that decides
SHOWN = 24  # characters of a line shown for a person to recognise


@dataclass(frozen=True)
class Decoded:
    """A file's text.

    Attributes:
        text: bytes that are not UTF-8 in a file that otherwise is stand as lone surrogates.
        note: what a person should know of how it was read; None for UTF-8.
        encoding: Python's name of it.
    """

    text: str
    note: Statement | None = None
    encoding: str = "utf-8"


def decode(
    name: str, raw: bytes, encoding: str | None = None, columns: Collection[str] = ()
) -> Decoded:
    """The text of a file.

    Args:
        name: of the file, for messages.
        raw: all of it.
        encoding: what a person said it is in; None to find out.
        columns: names wanted in its header, which tell encodings apart.

    Raises:
        InputError: it is not in the encoding named, or it cannot be told which one it is in.
    """
    marked = (known for bom, known in BOMS.items() if raw.startswith(bom))
    if known := encoding or next(marked, None):
        return Decoded(_as_said(name, raw, known), encoding=known)
    try:
        return Decoded(raw.decode("utf-8"))
    except UnicodeDecodeError:
        pass
    if wide := _utf16_without_mark(raw):
        note = statement("file.wide", "{file} was read as {encoding}.", file=name, encoding=wide)
        return Decoded(raw.decode(wide), note, wide)
    foreign = [line for line in raw.replace(b"\r", b"\n").split(b"\n") if not line.isascii()]
    mended = Decoded(raw.decode("utf-8", "surrogateescape"))
    if 2 * sum(map(_is_utf8, foreign)) >= len(foreign):
        return mended
    try:
        return _legacy(name, raw, foreign, columns)
    except InputError:
        few = 2 * len(foreign) < raw.count(b"\n") and raw.splitlines()[0].isascii()
        if few:  # the rest can be used
            return mended
        raise


def broken_byte(text: str) -> tuple[int, int] | None:
    """Place (in bytes, from 1) and value of the first byte that is not UTF-8; else None."""
    for i, character in enumerate(text):
        if "\udc80" <= character <= "\udcff":
            return len(text[:i].encode("utf-8", "surrogatepass")) + 1, ord(character) - 0xDC00
    return None


def displayable(text: str) -> str:
    """The text with U+FFFD in place of such bytes, so that it can be written."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _as_said(name: str, raw: bytes, encoding: str) -> str:
    try:
        return raw.decode(encoding).removeprefix("\ufeff")
    except LookupError as error:
        raise InputError(
            f"{name}: there is no encoding {encoding!r}. Use utf-8, gb18030, big5, utf-16, cp1252 …"
        ) from error
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise InputError(
            f"{name} is not in {encoding}: line {line} has the byte {raw[error.start]:#04x}. "
            "Name another encoding, or none to have it told from the bytes."
        ) from error


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _utf16_without_mark(raw: bytes) -> str | None:
    """Separators and line ends have a NUL beside them, always on the same side."""
    low, high = raw[0:SAMPLE:2].count(0), raw[1:SAMPLE:2].count(0)
    if len(raw) % 2 or max(low, high) * 50 < min(len(raw), SAMPLE):
        return None
    if 4 * min(low, high) > max(low, high):  # some letters have a NUL on the other side
        return None
    return "utf-16-le" if high > low else "utf-16-be"


def _legacy(name: str, raw: bytes, foreign: list[bytes], columns: Collection[str]) -> Decoded:
    readings = _readings(raw, b"\n".join(foreign)[:SAMPLE], columns)
    shown = {code: _sample(foreign[0], code) for code in readings}
    if len(readings) == 1:
        (code,) = readings
        return Decoded(
            raw.decode(code),
            statement(
                "file.encoding",
                "{file} is not UTF-8. It was read as {encoding}, like {sample}; if that is wrong, "
                "say encoding=.",
                file=name,
                encoding=code,
                sample=repr(shown[code]),
            ),
            code,
        )
    ways = "; ".join(f"{code}: {text!r}" for code, text in shown.items())
    raise InputError(
        f"{name} is not UTF-8, and its bytes do not tell what else it is"
        + (f" ({ways}). " if ways else ". ")
        + "Save it as UTF-8, or say which: `encoding: gb18030` beside its path in the recipe "
        "(an evaluation: --encoding gb18030)."
    )


def _readings(raw: bytes, sample: bytes, columns: Collection[str]) -> list[str]:
    """The encodings that the bytes are likely in, one if that is clear."""
    found = [
        (match.chaos, match.coherence, code)
        for match in charset_normalizer.from_bytes(sample, cp_isolation=LEGACY)
        for code in match.could_be_from_charset
        if code in LEGACY and _decodes(raw, code)
    ]
    if not found:
        return []
    least = min(chaos for chaos, _, _ in found)
    close = {code: coherence for chaos, coherence, code in found if chaos <= least + CLOSE}
    header = raw[:SAMPLE].splitlines()[0]
    if named := [
        code
        for code in close
        if any(not c.isascii() and c in header.decode(code, "ignore") for c in columns)
    ]:
        close = {code: close[code] for code in named}
    best = max(close.values())
    likely = [code for code in LEGACY if close.get(code, -1.0) > best - CLEAR]
    alike = {sample.decode(code, "ignore"): code for code in reversed(likely)}
    # Western and Central European texts look alike to it; the first are far more frequent.
    return ["cp1252"] if set(alike.values()) == {"cp1252", "cp1250"} else [*alike.values()]


def _decodes(raw: bytes, code: str) -> bool:
    try:
        raw.decode(code)
    except UnicodeDecodeError:
        return False
    return True


def _sample(line: bytes, code: str) -> str:
    return line.decode(code, "replace").strip()[:SHOWN]
