"""Read and write files in a process of its own, with limits of time and memory.

A parser that a hostile file makes fail, hang or eat memory ends alone, and the person is told.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from core.errors import InputError
from documents.document import Document
from documents.limits import DEFAULT_LIMITS, TABLE_LIMITS, ReadingLimits, require_size
from documents.names import shown_name
from documents.worker import TOO_MUCH
from tasks.records import Records

ROOT = Path(__file__).resolve().parent.parent
LATE = {-9, -24}  # exit statuses: killed by us, or by the system (SIGXCPU) for its time
_PLACES = threading.BoundedSemaphore(max(2, os.cpu_count() or 2))  # files read at one time


def read(name: str, raw: bytes, limits: ReadingLimits = DEFAULT_LIMITS) -> Document:
    """Read a file into blocks.

    Args:
        name: of the file, as it came; it is shown, and its ending counts where the content is text.
        raw: all of it.

    Raises:
        InputError: it is empty, damaged, locked, of no format that is read, or over a limit.
    """
    name = shown_name(name)
    require_size(name, len(raw), limits)
    told, _ = _ask({"act": "read", "name": name}, name, raw, limits)
    return Document.from_json(told["document"], raw)


def read_file(path: Path, limits: ReadingLimits = DEFAULT_LIMITS) -> Document:
    """Read a file of this machine.

    Raises:
        InputError: as `read`, or it cannot be opened.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            require_size(shown_name(path.name), size, limits)
            raw = file.read(limits.file_bytes + 1)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:  # a NUL in the path
        raise InputError(f"{str(path)!r} is no path of a file.") from error
    return read(path.name, raw, limits)


def read_table(name: str, raw: bytes, limits: ReadingLimits = TABLE_LIMITS) -> Records:
    """Read a data file into records, as `tasks.data_files` does.

    Args:
        name: of the file; its ending counts.
        raw: all of it.

    Raises:
        InputError: it is damaged, of another format, or over a limit.
    """
    name = shown_name(name)
    require_size(name, len(raw), limits)
    _, told = _ask({"act": "table", "name": name}, name, raw, limits)
    return Records.from_json(json.loads(told.decode("utf-8", "surrogatepass")))


def write(
    document: Document, texts: Sequence[str], limits: ReadingLimits = DEFAULT_LIMITS
) -> bytes:
    """The file with new texts in place of its blocks: everything else stays as it is.

    The same texts give the same file, byte for byte.

    Args:
        document: read from a file, with its source.
        texts: one for each block, in order, with tags where `Block.given` has some. A tag that is
            lost loses its formatting; what it stood for, like a picture, stays.

    Raises:
        InputError: its format is not written, or there are more or fewer texts than blocks.
    """
    if not document.writable:
        raise InputError(
            f"Nothing can be written back into {document.name}. It can into DOCX, Markdown, HTML, "
            "TXT, SRT and VTT."
        )
    if len(texts) != len(document.blocks):
        raise InputError(
            f"{document.name} has {len(document.blocks):,} blocks, and {len(texts):,} texts came."
        )
    request = {"act": "write", "document": document.to_json(), "texts": list(texts)}
    _, raw = _ask(request, document.name, document.source, limits)
    return raw


def _ask(
    request: dict[str, Any], name: str, raw: bytes, limits: ReadingLimits
) -> tuple[dict[str, Any], bytes]:
    line = json.dumps({**request, "limits": asdict(limits)}).encode() + b"\n"
    with _PLACES:
        process = subprocess.Popen(
            [sys.executable, "-m", "documents.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=ROOT,
            env=_environment(),
        )
        late = threading.Timer(2 * limits.seconds, process.kill)
        late.daemon = True
        late.start()
        feeder = threading.Thread(target=_feed, args=(process, line, raw), daemon=True)
        feeder.start()
        assert process.stdout
        try:
            answer = process.stdout.read(limits.answer_bytes + 1)
            with suppress(subprocess.TimeoutExpired):
                process.wait(1)
        finally:
            process.kill()
            status = process.wait()
            feeder.join()
            late.cancel()
            process.stdout.close()
    told, end, rest = answer.partition(b"\n")
    if not end or len(answer) > limits.answer_bytes:
        raise _given_up(name, status, limits)
    found: dict[str, Any] = json.loads(told)
    if "error" in found:
        raise InputError(str(found["error"]))
    return found, rest


def _given_up(name: str, status: int, limits: ReadingLimits) -> InputError:
    """What to say of a file whose process ended without an answer."""
    if status in LATE:
        why = f"takes more than {limits.seconds} seconds to read"
    elif status == TOO_MUCH:
        why = f"takes more than {limits.memory_bytes // 1_000_000:,} MB of memory to read"
    else:
        why = "breaks what reads such files, or takes more memory than that may have"
    return InputError(f"{name} {why}. Save it anew, or attach a part of it.")


def _feed(process: subprocess.Popen[bytes], line: bytes, raw: bytes) -> None:
    assert process.stdin
    try:
        process.stdin.write(line)
        process.stdin.write(raw)
        process.stdin.close()
    except OSError:  # it ended before it had read all
        pass


def _environment() -> dict[str, str]:
    """What a Python needs to start; no key or token of ours."""
    kept = {"PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TEMP", "SYSTEMROOT", "VIRTUAL_ENV"}
    kept |= {"LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME"}
    given = {name: value for name, value in os.environ.items() if name in kept}
    # openpyxl imports numpy, whose threads would reserve memory for each core.
    given |= {"PYTHONUTF8": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    return given | {"ARROW_DEFAULT_MEMORY_POOL": "system"}  # the others reserve it ahead
