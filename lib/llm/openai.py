"""OpenAI, or any server that speaks its chat completions, through the openai package. The only importer of it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

from lib.errors import ProviderError, ProviderRefused, ProviderTimeout
from lib.llm.provider import Chunk, Done, Message, MessageRole, Text, ToolCall, ToolSpec, bounded, remaining_s, said

# At DEBUG these log whole requests, prompts among them.
_QUIET = ("openai", "httpx2", "httpcore2", "httpx", "httpcore")


class OpenAI:
    """Streams from one model. base_url: another server's address; local ones need no key."""

    name = "openai"

    def __init__(self, api_key: str, model: str, base_url: str = "") -> None:
        self.model = model
        self.host = (urlsplit(base_url).hostname or base_url) if base_url else "api.openai.com"
        self._key, self._base_url = api_key, base_url
        self._client: Any = None
        self._lock = Lock()

    def stream(self, messages: Sequence[Message], tools: Sequence[ToolSpec], deadline: float) -> Iterator[Chunk]:
        """See Provider.stream."""
        import openai

        try:
            yield from self._stream(messages, tools, deadline)
        except openai.APITimeoutError:
            raise ProviderTimeout(f"OpenAI at {self.host} did not answer in time.") from None
        except openai.APIStatusError as error:
            raise self._mapped(error) from None
        except openai.APIConnectionError:
            raise ProviderError(f"OpenAI at {self.host} could not be reached, or cut the connection.") from None
        except openai.OpenAIError as error:
            raise ProviderError(f"OpenAI reported: {said(error, (self._key,))}") from None
        # A stream that holds no JSON, or JSON of another shape.
        except (ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
            raise ProviderError(f"OpenAI's reply was malformed ({type(error).__name__}).") from None

    def _stream(self, messages: Sequence[Message], tools: Sequence[ToolSpec], deadline: float) -> Iterator[Chunk]:
        options: dict[str, Any] = {}
        if tools:
            options["tools"] = [
                {
                    "type": "function",
                    "function": {"name": t.name, "description": t.description, "parameters": _schema(t)},
                }
                for t in tools
            ]
        stream = self._connect().chat.completions.create(
            model=self.model,
            messages=[_message(m) for m in messages],
            stream=True,
            stream_options={"include_usage": True},
            temperature=0,
            timeout=remaining_s(deadline, "OpenAI"),
            **options,
        )
        body = stream.response.iter_bytes
        stream.response.iter_bytes = lambda *a, **k: bounded(body(*a, **k), deadline, "OpenAI")
        calls: dict[int, dict[str, str]] = {}
        answered, finished, usage = False, False, None
        for chunk in stream:
            remaining_s(deadline, "OpenAI")
            usage = chunk.usage or usage
            for choice in chunk.choices[:1]:
                finished = finished or choice.finish_reason is not None
                if choice.delta.content:
                    answered = True
                    yield Text(choice.delta.content)
                for delta in choice.delta.tool_calls or ():
                    call = calls.setdefault(delta.index or 0, {"id": "", "name": "", "arguments": ""})
                    call["id"] = delta.id or call["id"]
                    if delta.function:
                        call["name"] += delta.function.name or ""
                        call["arguments"] += delta.function.arguments or ""
        if not finished:
            raise ProviderError("OpenAI's reply was cut off.")
        for index, call in sorted(calls.items()):
            answered = True
            yield ToolCall(
                call["id"] or f"call-{index}", call["name"], _arguments(call["arguments"]), call["arguments"]
            )
        if not answered:
            raise ProviderError("OpenAI gave an empty answer.")
        yield Done(usage.prompt_tokens or 0, usage.completion_tokens or 0) if usage else Done()

    def _connect(self) -> Any:
        with self._lock:
            if self._client is None:
                import openai

                for name in _QUIET:
                    logging.getLogger(name).setLevel(logging.WARNING)
                self._client = openai.OpenAI(
                    # Given, though empty, so that the package does not look for a key of its own.
                    api_key=self._key or "none",
                    base_url=self._base_url or "https://api.openai.com/v1",
                    max_retries=0,
                )
            return self._client

    def _mapped(self, error: Any) -> ProviderError:
        status = int(error.status_code)
        if status in (401, 403):
            return ProviderRefused("OpenAI refused the key; check OPENAI_API_KEY.", http_status=status)
        if status == 429:
            # Without money on the account it says 429 too; waiting does not help then.
            if "insufficient_quota" in str(getattr(error, "code", "")):
                return ProviderRefused("OpenAI says the quota is used up.", http_status=status)
            after = _seconds(error.response.headers.get("retry-after"))
            return ProviderError("OpenAI is over its rate limit (429).", http_status=status, retry_after_s=after)
        words = said(error, (self._key,))
        return ProviderError(f"OpenAI answered {status}: {words}", http_status=status, retryable=status >= 500)


def _seconds(header: str | None) -> float | None:
    try:
        return max(0.0, float(header)) if header else None
    except ValueError:
        return None


def _schema(tool: ToolSpec) -> dict[str, Any]:
    return {"type": "object", "properties": {}} | dict(tool.parameters)


def _arguments(raw: str) -> dict[str, Any] | None:
    try:
        value = json.loads(raw) if raw.strip() else {}
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _message(message: Message) -> dict[str, Any]:
    if message.role is MessageRole.TOOL:
        return {"role": "tool", "tool_call_id": message.call_id, "content": message.text}
    made: dict[str, Any] = {"role": message.role.value, "content": message.text}
    if message.calls:
        made["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": json.dumps(dict(call.arguments or {}))},
            }
            for call in message.calls
        ]
    return made
