"""The process in which files are parsed: a request on standard input, a result on standard output.

A request is a line of JSON (`act`, `name`, `limits`, what the act needs) and then the file's bytes;
a result is a line of JSON and then bytes. Nothing is read of the disk and nothing written to it.
"""

from __future__ import annotations

import json
import sys
from typing import Any, BinaryIO

from core.errors import InputError
from documents.document import Document
from documents.limits import ReadingLimits

TOO_MUCH = 3  # exit status: memory ran out


def main() -> None:
    """Do one request."""
    source, target = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # what a parser prints is no result
    asked = json.loads(source.readline())
    limits = ReadingLimits(**asked["limits"])
    _hold(limits)
    try:
        if asked["act"] == "table":
            from tasks.data_files import read_content

            records = read_content(asked["name"], source.read()).to_json()
            said = json.dumps(records, ensure_ascii=False)
            _answer(target, {}, said.encode("utf-8", "surrogatepass"))
            return
        from documents.reading import read_here, write_here

        if asked["act"] == "read":
            document = read_here(asked["name"], source.read(), limits)
            _answer(target, {"document": document.to_json()})
        else:
            document = Document.from_json(asked["document"], source.read())
            _answer(target, {}, write_here(document, asked["texts"]))
    except InputError as error:
        _answer(target, {"error": str(error)})
    except MemoryError:
        sys.exit(TOO_MUCH)


def _answer(target: BinaryIO, told: dict[str, Any], raw: bytes = b"") -> None:
    target.write(json.dumps(told, ensure_ascii=True).encode() + b"\n" + raw)
    target.flush()


def _hold(limits: ReadingLimits) -> None:
    """Have the system end this process where it takes too much. Windows has no such limits."""
    try:
        import resource
    except ImportError:
        return
    wanted = {
        resource.RLIMIT_AS: limits.memory_bytes,
        resource.RLIMIT_CPU: limits.seconds,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
    }
    for kind, most in wanted.items():
        _, hard = resource.getrlimit(kind)
        if hard != resource.RLIM_INFINITY:
            most = min(most, hard)  # noqa: PLW2901
        try:
            resource.setrlimit(kind, (most, most))
        except (ValueError, OSError):  # macOS takes none for memory
            continue


if __name__ == "__main__":
    main()
