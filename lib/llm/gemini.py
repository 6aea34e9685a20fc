"""Gemini through google-generativeai over REST. The only importer of it, so that its successor is one file away."""

from __future__ import annotations

import itertools
import logging
import re
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

from lib.errors import ProviderError, ProviderRefused, ProviderTimeout
from lib.llm.provider import Chunk, Done, Message, MessageRole, Text, ToolCall, ToolSpec, bounded, remaining_s, said

GOOGLE = "generativelanguage.googleapis.com"
# At DEBUG these log request headers, the key among them.
_QUIET = ("google", "google.ai", "google.api_core", "google.auth", "urllib3")
# Unset, STOP, MAX_TOKENS; newer reasons may have no name here.
_FINISHED = (0, 1, 2)
# What protos.Schema knows of JSON schema.
_SCHEMA_WORDS = ("type", "description", "enum", "items", "properties", "required", "nullable")


class Gemini:
    """Streams from one Gemini model. The client is made on first use: its import takes seconds."""

    name = "gemini"

    def __init__(self, api_key: str, model: str, endpoint: str = "") -> None:
        self.model = model
        self.host = urlsplit(endpoint).hostname or endpoint if endpoint else GOOGLE
        self._key, self._endpoint = api_key, endpoint
        self._client: Any = None
        self._lock = Lock()

    def stream(self, messages: Sequence[Message], tools: Sequence[ToolSpec], deadline: float) -> Iterator[Chunk]:
        """See Provider.stream."""
        import requests

        _package()
        from google.api_core import exceptions
        from google.generativeai.types import generation_types

        try:
            yield from self._stream(messages, tools, deadline)
        # Two families: what the server said, and what happened on the way to it.
        except exceptions.GoogleAPICallError as error:
            raise self._mapped(error) from None
        except (requests.Timeout, exceptions.RetryError) as error:
            raise ProviderTimeout(f"Gemini at {self.host} did not answer in time ({type(error).__name__}).") from None
        except requests.RequestException as error:
            raise ProviderError(
                f"Gemini at {self.host} could not be reached, or cut the connection ({type(error).__name__})."
            ) from None
        except generation_types.BlockedPromptException:
            raise ProviderError("Gemini blocked the question.", retryable=False) from None
        # The client's stream parser reports a truncated body or an unexpected shape with these.
        except (ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
            detail = said(error, (self._key,), 80)
            raise ProviderError(
                f"Gemini's reply was cut off or malformed ({type(error).__name__}: {detail})."
            ) from None

    def _stream(self, messages: Sequence[Message], tools: Sequence[ToolSpec], deadline: float) -> Iterator[Chunk]:
        genai = _package()
        system = "\n\n".join(m.text for m in messages if m.role is MessageRole.SYSTEM)
        model = genai.GenerativeModel(
            self.model,
            system_instruction=system or None,
            tools=[{"function_declarations": [_declaration(tool) for tool in tools]}] if tools else None,
            generation_config={"temperature": 0},
        )
        # Without this the model takes the process-wide client, whose key is whatever was configured last.
        model._client = self._connect()
        response = model.generate_content(
            _contents(messages),
            stream=True,
            # With its default retry a 503 hangs until the timeout; we retry outside.
            request_options={"timeout": remaining_s(deadline, "Gemini"), "retry": None},
        )
        numbers, answered, usage, blocked = itertools.count(1), False, None, ""
        for part_of_reply in response:
            remaining_s(deadline, "Gemini")
            if part_of_reply.usage_metadata.total_token_count:
                usage = part_of_reply.usage_metadata
            for candidate in part_of_reply.candidates[:1]:
                if int(candidate.finish_reason) not in _FINISHED:
                    blocked = getattr(candidate.finish_reason, "name", str(candidate.finish_reason))
                for part in candidate.content.parts:
                    if "function_call" in part:
                        call = part.function_call
                        answered = True
                        yield ToolCall(call.id or f"call-{next(numbers)}", call.name, _plain(call.args))
                    elif part.text:
                        answered = True
                        yield Text(part.text)
        if not answered:
            raise ProviderError(f"Gemini gave an empty answer{f' ({blocked})' if blocked else ''}.")
        yield Done(*((usage.prompt_token_count, usage.candidates_token_count) if usage else (0, 0)))

    def _connect(self) -> Any:
        with self._lock:
            if self._client is None:
                from google.ai import generativelanguage
                from google.api_core.client_options import ClientOptions

                for name in _QUIET:
                    logging.getLogger(name).setLevel(logging.WARNING)
                options = ClientOptions(api_key=self._key, api_endpoint=self._endpoint or None)
                self._client = generativelanguage.GenerativeServiceClient(transport="rest", client_options=options)
                self._client.transport._session.send = _bounded_send(self._client.transport._session.send)
            return self._client

    def _mapped(self, error: Any) -> ProviderError:
        status = int(error.code or 0)
        words = re.sub(r"^[A-Z]+ https?://\S+: ", "", said(error, (self._key,), 400))[:200]
        if status in (401, 403) or (status == 400 and "api key" in words.lower()):
            return ProviderRefused("Gemini refused the key; check GEMINI_API_KEY.", http_status=status)
        if status == 429:
            return ProviderError("Gemini is over its rate limit or quota (429).", http_status=status)
        if status == 504:
            return ProviderTimeout("Gemini did not answer in time (504).", http_status=status)
        # A request it does not understand stays wrong however often it is sent.
        return ProviderError(f"Gemini answered {status}: {words}", http_status=status, retryable=status >= 500)


def _package() -> Any:
    """The package, without the notice of its makers' end of support on the console at each start."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        import google.generativeai as genai
    return genai


def _bounded_send(send: Any) -> Any:
    """requests' timeout starts anew with each byte; this holds the whole body to it."""

    def send_(request: Any, **kwargs: Any) -> Any:
        timeout = kwargs.get("timeout")
        response = send(request, **kwargs)
        if timeout and response.status_code < 400:
            inner, until = response.iter_content, time.monotonic() + float(timeout)
            response.iter_content = lambda *a, **k: bounded(inner(*a, **k), until, "Gemini")
        return response

    return send_


def _declaration(tool: ToolSpec) -> dict[str, Any]:
    made: dict[str, Any] = {"name": tool.name, "description": tool.description}
    if tool.parameters.get("properties"):
        made["parameters"] = _schema(tool.parameters)
    return made


def _schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    kept = {word: schema[word] for word in _SCHEMA_WORDS if word in schema}
    if "type" in kept:
        kept["type"] = str(kept["type"]).upper()
    if "items" in kept:
        kept["items"] = _schema(kept["items"])
    if "properties" in kept:
        kept["properties"] = {name: _schema(inner) for name, inner in kept["properties"].items()}
    return kept


def _contents(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Neutral messages as Gemini wants them: roles user and model, in turns, results of calls from the user."""
    contents: list[dict[str, Any]] = []
    for message in messages:
        if message.role is MessageRole.SYSTEM:
            continue
        role = "model" if message.role is MessageRole.ASSISTANT else "user"
        parts: list[dict[str, Any]] = []
        if message.role is MessageRole.TOOL:
            parts.append({"function_response": {"name": message.name, "response": {"result": message.text}}})
        elif message.text:
            parts.append({"text": message.text})
        parts += [{"function_call": {"name": c.name, "args": dict(c.arguments or {})}} for c in message.calls]
        if not parts:
            continue
        if contents and contents[-1]["role"] == role:
            contents[-1]["parts"] += parts
        else:
            contents.append({"role": role, "parts": parts})
    return contents


def _plain(value: Any) -> Any:
    """Protocol buffers know one kind of number: whole ones become int again."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
