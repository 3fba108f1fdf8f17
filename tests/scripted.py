"""A server that speaks OpenAI's protocol and fails as such servers do.

`python tests/scripted.py PORT` is one in a process that can be killed; its base is called `base`.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Scripted(BaseHTTPRequestHandler):
    """Does what `script` says to the next requests, and answers the rest like vLLM."""

    script: list[Any]
    asked: list[tuple[str, dict[str, Any]]]
    delay = 0.0  # before each piece of a stream

    def do_GET(self) -> None:
        self.answer({"object": "list", "data": [{"id": "base", "object": "model", "created": 1}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append((self.path, body))
        todo = self.script.pop(0) if self.script else None
        if isinstance(todo, int):
            self.answer({"error": {"message": "a context of 10 tokens"}}, todo)
        elif todo == "hang up":
            self.connection.shutdown(socket.SHUT_RDWR)
        elif self.path.endswith("load_lora_adapter"):
            self.answer("Success")
        elif body.get("stream"):
            self.stream(todo)
        else:
            self.answer({"id": "1", "object": "chat.completion", "created": 1, "choices": [CHOICE]})

    def stream(self, todo: object) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for i in range(5):
            time.sleep(self.delay)
            if i == 3 and todo == "hang up later":
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            delta = {
                "index": 0,
                "delta": {"content": f"{i} "},
                "finish_reason": "stop" if i == 4 else None,
            }
            chunk = {"id": "1", "object": "chat.completion.chunk", "created": 1, "choices": [delta]}
            self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")

    def answer(self, value: Any, status: int = 200) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


def place(token: str, *others: tuple[str, float]) -> dict[str, Any]:
    likely = [("x", -0.0)] if not others else list(others)
    named = [{"token": t, "logprob": v, "bytes": None} for t, v in likely]
    own = dict(likely).get(token, -0.1)
    return {"token": token, "logprob": own, "bytes": None, "top_logprobs": named}


CHOICE = {
    "index": 0,
    "finish_reason": "stop",
    "message": {"role": "assistant", "content": "positive"},
    "logprobs": {"content": [place("pos", ("pos", -0.2), ("neg", -2.0)), place("itive")]},
}


if __name__ == "__main__":
    Scripted.script, Scripted.asked, Scripted.delay = [], [], 0.1
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Scripted).serve_forever()
