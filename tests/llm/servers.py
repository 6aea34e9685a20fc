"""Local servers that speak Gemini's and OpenAI's wire formats and follow a script, one behaviour a request."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Says:
    """A complete answer in these pieces."""

    pieces: Sequence[str]


@dataclass(frozen=True)
class Calls:
    """One tool call. arguments: a dict, or for OpenAI any string, JSON or not."""

    name: str
    arguments: Any
    before: str = ""


@dataclass(frozen=True)
class Fails:
    status: int
    message: str = "scripted failure"
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Hangs:
    """Takes the request and never answers; with `piece`, says that much first."""

    piece: str = ""


@dataclass(frozen=True)
class Cuts:
    """Says a piece (or nothing) and closes the connection in the middle of the body."""

    piece: str = ""


@dataclass(frozen=True)
class Drips:
    """Sends a byte of nothing every 50 ms, without end."""


@dataclass(frozen=True)
class Empty:
    """A complete answer without a word."""


@dataclass(frozen=True)
class Garbage:
    """200 with a body that is not the protocol."""


Behaviour = Says | Calls | Fails | Hangs | Cuts | Drips | Empty | Garbage


class Scripted:
    """requests: the JSON bodies received; headers: theirs. The last behaviour repeats."""

    def __init__(self, script: Sequence[Behaviour], speak: Callable[[Any, Behaviour], None]) -> None:
        self.script, self.requests, self.headers, self.paths = list(script), [], [], []
        self.closing = threading.Event()
        lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                with lock:
                    outer.requests.append(json.loads(body))
                    outer.headers.append(dict(self.headers))
                    outer.paths.append(self.path)
                    behaviour = outer.script.pop(0) if len(outer.script) > 1 else outer.script[0]
                self.close_connection = True
                try:
                    if isinstance(behaviour, Fails):
                        self._fail(behaviour)
                    else:
                        speak(self, behaviour)
                except OSError:
                    pass  # the client left

            def _fail(self, behaviour: Fails) -> None:
                error = {
                    "code": behaviour.status,
                    "message": behaviour.message,
                    "status": "SCRIPTED",
                    "type": "scripted",
                }
                body = json.dumps({"error": error}).encode()
                self.send_response(behaviour.status)
                for key, value in behaviour.headers.items():
                    self.send_header(key, value)
                self.send_header("Content-Type", "application/json; charset=UTF-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def open_stream(self, content_type: str) -> None:
                self.send_response(200)
                self.send_header("Content-Type", content_type)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()

            def send_piece(self, text: str) -> None:
                data = text.encode()
                self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
                self.wfile.flush()

            def close_stream(self) -> None:
                self.wfile.write(b"0\r\n\r\n")

            def wait(self) -> None:
                outer.closing.wait(30)

            def drip(self) -> None:
                while not outer.closing.wait(0.05):
                    self.send_piece(" ")

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()


def _speak_gemini(handler: Any, behaviour: Behaviour) -> None:
    """streamGenerateContent without alt=sse, as the REST transport asks: one JSON array, element by element."""

    def element(parts: list[dict[str, Any]], finish: str = "", usage: bool = False) -> str:
        candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": 0}
        if finish:
            # The client asks for enum-encoding=int.
            candidate["finishReason"] = 1 if "enum-encoding" in handler.path else finish
        made: dict[str, Any] = {"candidates": [candidate], "modelVersion": "scripted"}
        if usage:
            made["usageMetadata"] = {"promptTokenCount": 11, "candidatesTokenCount": 7, "totalTokenCount": 18}
        return json.dumps(made)

    if isinstance(behaviour, Hangs) and not behaviour.piece:
        return handler.wait()
    handler.open_stream("application/json; charset=UTF-8")
    if isinstance(behaviour, Says):
        for index, piece in enumerate(behaviour.pieces):
            last = index == len(behaviour.pieces) - 1
            handler.send_piece(
                ("[" if index == 0 else ",\r\n") + element([{"text": piece}], "STOP" if last else "", last)
            )
        handler.send_piece("]")
    elif isinstance(behaviour, Calls):
        parts = [{"text": behaviour.before}] if behaviour.before else []
        parts.append({"functionCall": {"name": behaviour.name, "args": behaviour.arguments}})
        handler.send_piece("[" + element(parts, "STOP", True) + "]")
    elif isinstance(behaviour, Empty):
        handler.send_piece("[" + element([], "STOP", True) + "]")
    elif isinstance(behaviour, Garbage):
        handler.send_piece("<html>not what you asked</html>")
    elif isinstance(behaviour, Drips):
        handler.send_piece("[")
        return handler.drip()
    else:
        # Two elements, so that the client, which looks one ahead, hands on the first.
        text = behaviour.piece
        handler.send_piece(
            "[" + (element([{"text": text}]) + ",\r\n" + element([{"text": " "}]) + "," if text else "{")
        )
        return handler.wait() if isinstance(behaviour, Hangs) else None
    handler.close_stream()
    return None


def _speak_openai(handler: Any, behaviour: Behaviour) -> None:
    """Chat completions as server-sent events, a tool call's arguments in small deltas."""

    def event(delta: dict[str, Any], finish: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return "data: " + json.dumps(_envelope([choice])) + "\n\n"

    if isinstance(behaviour, Hangs) and not behaviour.piece:
        return handler.wait()
    handler.open_stream("text/event-stream; charset=utf-8")
    if isinstance(behaviour, Garbage):
        handler.send_piece("data: {not json\n\n")
        handler.close_stream()
        return None
    if isinstance(behaviour, Drips):
        return handler.drip()
    handler.send_piece(event({"role": "assistant", "content": ""}))
    finish = "stop"
    if isinstance(behaviour, Says):
        for piece in behaviour.pieces:
            handler.send_piece(event({"content": piece}))
    elif isinstance(behaviour, Calls):
        if behaviour.before:
            handler.send_piece(event({"content": behaviour.before}))
        text = behaviour.arguments if isinstance(behaviour.arguments, str) else json.dumps(behaviour.arguments)
        opening = {
            "index": 0,
            "id": "call_abc",
            "type": "function",
            "function": {"name": behaviour.name, "arguments": ""},
        }
        handler.send_piece(event({"tool_calls": [opening]}))
        for start in range(0, len(text), 7):
            handler.send_piece(
                event({"tool_calls": [{"index": 0, "function": {"arguments": text[start : start + 7]}}]})
            )
        finish = "tool_calls"
    elif isinstance(behaviour, Cuts | Hangs):
        if behaviour.piece:
            handler.send_piece(event({"content": behaviour.piece}))
        return handler.wait() if isinstance(behaviour, Hangs) else None
    handler.send_piece(event({}, finish))
    usage = {"prompt_tokens": 13, "completion_tokens": 5, "total_tokens": 18}
    handler.send_piece("data: " + json.dumps(_envelope([]) | {"usage": usage}) + "\n\n")
    handler.send_piece("data: [DONE]\n\n")
    handler.close_stream()
    return None


def _envelope(choices: list[dict[str, Any]]) -> dict[str, Any]:
    kind = "chat.completion.chunk"
    return {"id": "chatcmpl-1", "object": kind, "created": int(time.time()), "model": "scripted", "choices": choices}


@contextmanager
def gemini_server(*script: Behaviour) -> Iterator[Scripted]:
    server = Scripted(script, _speak_gemini)
    try:
        yield server
    finally:
        server.close()


@contextmanager
def openai_server(*script: Behaviour) -> Iterator[Scripted]:
    server = Scripted(script, _speak_openai)
    try:
        yield server
    finally:
        server.close()
