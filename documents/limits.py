"""How much of a file is read, and how long that may take."""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import InputError


@dataclass(frozen=True)
class ReadingLimits:
    """What reading one file may cost. A file that is over one of them is refused, never cut.

    Attributes:
        file_bytes: of the file as it came.
        unpacked_bytes: of all that a DOCX or an XLSX unpacks to.
        characters: of the text.
        cells: of a table.
        seconds: of computation; twice as much may pass on a busy machine.
        memory_bytes: of the address space of the process that reads; only Linux holds it to that.
        answer_bytes: of what that process found, as it says it.
    """

    file_bytes: int = 20_000_000
    unpacked_bytes: int = 200_000_000
    characters: int = 2_000_000
    cells: int = 100_000
    seconds: int = 60
    memory_bytes: int = 1_500_000_000
    answer_bytes: int = 100_000_000


DEFAULT_LIMITS = ReadingLimits()
# Of a whole table, whose rows are dealt with one by one.
TABLE_LIMITS = ReadingLimits(
    file_bytes=50_000_000, seconds=120, memory_bytes=4_000_000_000, answer_bytes=300_000_000
)


def require_size(name: str, size: int, limits: ReadingLimits) -> None:
    """See that a file has not too many bytes.

    Raises:
        InputError: it has.
    """
    if size > limits.file_bytes:
        raise InputError(
            f"{name} has {size:,} bytes; at most {limits.file_bytes:,} are read. Attach a part of "
            "it."
        )
