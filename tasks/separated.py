"""Tables with separators, as spreadsheets write them (RFC 4180, and what people do beside it)."""

from __future__ import annotations

import bisect
import csv
import io
import itertools
from collections.abc import Collection, Iterator
from typing import Any

import regex

from core.errors import InputError
from core.statement import Statement, quoted, statement
from tasks import encodings
from tasks.records import (
    TITLE_ROWS,
    Record,
    Records,
    Refusal,
    above_header,
    column_names,
    doubled,
    header_row,
    not_utf8,
)

SEPARATORS = ",;\t|"
NAMED = {"tab": "\t", "\\t": "\t"}
EXCEL_SAYS = regex.compile(r'"?sep=(.)"?[\r\n]*', flags=regex.I | regex.S)
ROWLIKE_LINES = 3  # lines in a quoted text, each with as many columns as a row: it is none
QUOTE_ADVICE = statement(
    "row.quote.fix",
    "Put double quotes around text that holds separators, quotes or line ends, and write a quote "
    "in it twice.",
)
CLOSE_IT = statement(
    "row.close.fix", "Close that quote, or write it twice where it belongs to the text."
)
csv.field_size_limit(2**31 - 1)  # a long text is refused for its tokens, with its line


def read(
    name: str, text: str, delimiter: str, columns: Collection[str] = (), said: bool = False
) -> Records:
    """Read every record of a table whose first line names the columns.

    Args:
        name: of the file, for messages.
        text: its content.
        delimiter: the separator, or the one that is usual for such a file.
        columns: names wanted in the header, which tell it and separators apart.
        said: a person named the separator.

    Raises:
        InputError: the header cannot be read, or there is none.
    """
    lines = list(io.StringIO(text, newline=""))  # they end at \n, \r\n and a lone \r
    begin = _content(lines, 0)
    if excel := EXCEL_SAYS.fullmatch(lines[begin]) if begin < len(lines) else None:
        begin = _content(lines, begin + 1)
    if begin == len(lines):
        raise InputError(f"{name} is empty.")
    mark = NAMED.get(delimiter, delimiter)
    if len(mark) != 1:
        raise InputError(f"delimiter={delimiter!r}: name one character, or tab.")
    if excel and not said:
        mark = excel[1]
    known = said or excel is not None
    begin, mark, titles = _header(lines, begin, mark, known, columns)
    records = _Table(name, lines, mark, begin).records()
    records.notes += above_header(name, titles)
    return records


def _content(lines: list[str], begin: int) -> int:
    """The first line from there that is not blank."""
    return next((i for i in range(begin, len(lines)) if lines[i].strip()), len(lines))


def _header(
    lines: list[str], begin: int, mark: str, known: bool, columns: Collection[str]
) -> tuple[int, str, list[str]]:
    """The line that names the columns, the separator there, and what stands above it."""
    places, marks, rows = list[int](), list[str](), list[list[str]]()
    while begin < len(lines) and len(rows) <= TITLE_ROWS:
        marks.append(mark if known else likely_separator(lines[begin], mark, columns))
        rows.append(_cells(lines[begin], marks[-1]))
        places.append(begin)
        begin = _content(lines, begin + 1)
    found = header_row(rows, columns)
    return places[found], marks[found], [lines[i].strip() for i in places[:found]]


def _cells(line: str, mark: str) -> list[str]:
    try:
        return column_names(next(csv.reader([line], delimiter=mark), []))
    except csv.Error:
        return []


def likely_separator(header: str, default: str, columns: Collection[str]) -> str:
    """The separator under which a header has most of the wanted columns, or most columns.

    `csv.Sniffer` counts the characters of all of a text, and is wrong where texts hold commas.
    """

    def found(mark: str) -> tuple[int, int, bool]:
        names = _cells(header, mark)
        return len(set(names) & set(columns)), len(names), mark == default

    return max(SEPARATORS, key=found)


class _Table:
    """The lines of a table; `begin` is the header's."""

    def __init__(self, name: str, lines: list[str], mark: str, begin: int) -> None:
        self.name, self.lines, self.mark, self.begin = name, lines, mark, begin
        self.spaced = regex.search(rf"{regex.escape(mark)} +\S", lines[begin]) is not None

    def records(self) -> Records:
        """Every record, or why it is none."""
        reader = csv.reader(
            self.lines[self.begin :],
            delimiter=self.mark,
            strict=True,
            skipinitialspace=self.spaced,
        )
        names = self._header(reader)
        records = Records(doubled=doubled(names), header=names)
        while True:
            before = self.begin + reader.line_num
            try:
                values = next(reader)
            except StopIteration:
                return records
            except csv.Error as error:
                after = self.begin + reader.line_num
                records.found += self._swallowed(before, after, _explained(error))
                continue
            after = self.begin + reader.line_num
            if not any(value.strip() for value in values):
                continue  # a blank line, or one of separators alone
            if self._holds_rows(before, after, len(names)):
                why = statement(
                    "row.joined",
                    "a quote opens here and takes along all up to line {after}: only the one in "
                    "line {after} closes it",
                    after=after,
                )
                records.found += self._swallowed(before, after, why)
            else:
                records.found.append((before + 1, self._record(before, after, names, values)))

    def _header(self, reader: Any) -> list[str]:
        try:
            return column_names(next(reader))
        except csv.Error as error:
            raise InputError(
                f"{self.name}: the header (line {self.begin + 1}) cannot be read: "
                f"{_explained(error).english}. {QUOTE_ADVICE.english}"
            ) from error

    def _record(
        self, before: int, after: int, names: list[str], values: list[str]
    ) -> Record | Refusal:
        raw = "".join(self.lines[before:after]).strip()
        if broken := encodings.broken_byte(raw):
            return not_utf8(before + 1, broken, encodings.displayable(raw))
        while len(values) > len(names) and not values[-1].strip():
            values = values[:-1]
        if len(values) != len(names):
            reason = statement(
                "row.columns",
                "{count} columns where the header has {header}",
                count=len(values),
                header=len(names),
            )
            return Refusal(before + 1, "", reason, QUOTE_ADVICE, raw)
        return {name: value for name, value in zip(names, values, strict=True) if name}

    def _swallowed(self, before: int, after: int, why: Statement) -> Iterator[tuple[int, Refusal]]:
        """A refusal for each line that a quote took along."""
        opened = before + self._opening(before, after)
        for i in range(before, after):
            raw = encodings.displayable(self.lines[i]).strip()
            if after == before + 1:
                yield i + 1, Refusal(i + 1, "", why, QUOTE_ADVICE, raw)
            elif i == opened:
                opens = statement(
                    "row.opens",
                    "a quote opens here and takes along all up to line {after}",
                    after=after,
                )
                reason = why if why.key == "row.joined" else opens
                yield i + 1, Refusal(i + 1, "", reason, CLOSE_IT, raw)
            elif raw:
                reason = statement(
                    "row.lost", "lost to the quote that opens in line {line}", line=opened + 1
                )
                yield i + 1, Refusal(i + 1, "", reason, CLOSE_IT, raw)

    def _opening(self, before: int, after: int) -> int:
        """In which of these lines the quote opens that is not closed well."""
        opened, inside = 0, False
        text = "".join(self.lines[before:after])
        ends = list(itertools.accumulate(map(len, self.lines[before:after])))
        for match in regex.finditer('"+', text):
            left = text[: match.start()].rstrip(" ") if self.spaced else text[: match.start()]
            count = len(match.group())
            if not inside:
                if left and left[-1] not in {self.mark, "\r", "\n"}:
                    continue  # a quote in the middle of a text that has none around it
                inside, opened, count = True, bisect.bisect(ends, match.start()), count - 1
            if count % 2:  # an even number of quotes is so many quotes in the text, halved
                inside = False
                if text[match.end() : match.end() + 1] not in {self.mark, "\r", "\n", ""}:
                    return opened
        return opened

    def _holds_rows(self, before: int, after: int, columns: int) -> bool:
        """Whether a record is several, which a quote joined that another happened to close."""
        inner = self.lines[before + 1 : after - 1]
        if len(inner) < ROWLIKE_LINES or columns < 2:
            return False
        rows = csv.reader(inner, delimiter=self.mark, quoting=csv.QUOTE_NONE)
        return all(len(row) == columns for row in rows)


def _explained(error: csv.Error) -> Statement:
    message = str(error)
    if "expected after" in message:
        return statement("row.behind_quote", "text stands behind a closing quote")
    if "unexpected end" in message:
        return statement("row.not_closed", "it is not closed before the end of the file")
    return quoted(message)
