"""The log: a JSON object a line on standard error, without visitors' words unless asked for."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime


class JsonLines(logging.Formatter):
    """A record as one JSON object.

    Args:
        words: whether the messages of exceptions are kept; they may hold what a visitor wrote.
    """

    def __init__(self, words: bool = False) -> None:
        super().__init__()
        self._words = words

    def format(self, record: logging.LogRecord) -> str:
        """Time, level, where, what, and the record's `log_fields` (from `extra`) beside them."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "log_fields", {}),
        }
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            line["error"] = type(error).__name__ + (f": {error}" if self._words else "")
            line["trace"] = "".join(traceback.format_tb(error.__traceback__))
        return json.dumps(line, ensure_ascii=False, default=str)


def start_log(words: bool = False) -> None:
    """Send everything to standard error from now on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(words))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for chatty in ("httpx", "uvicorn.error", "asyncio"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
