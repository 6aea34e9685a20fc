"""One line an event, as JSON on stderr, so that a log can be read by people and by machines."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

_STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
# Whatever slips into a message, traceback or prompt: bearer tokens, URL passwords, what is assigned to a telling name,
# provider keys. After a mere space only what has a digit counts: "basic statistics" and "token rate" are no secrets.
_TELLING = (
    r"(?:api|access|private|secret|account)[-_ ]?key(?:[-_]?id)?|passw(?:or)?d|passphrase|\bpwd(?=[\"']?\s*[=:])"
    r"|token|secret|credential"
)
_SECRETS = re.compile(
    rf"(?i)((?:bearer\s+|(?:{_TELLING})(?:[\"']?\s*[=:]+[\"'\s]*|[\"'\s]+(?:is\s+)?[\"']?(?=[^\s\"']*\d)))(?:(?:bearer|basic)\s+)?"
    r"|basic\s+(?=\S(?-i:[a-z+/]*[A-Z0-9=]))|[?&](?:key|sig|signature|code)=)[^\s\"',;&]{3,}"
    r"|(?<=://)[^/\s:@]*:[^/\s@]+(?=@)|\bsk-[A-Za-z0-9_-]{8,}|\bAIza[A-Za-z0-9_-]{10,}|\bao_[A-Za-z0-9_-]{10,}"
    r"|\b(?-i:AKIA|ASIA)[A-Z0-9]{16}\b|\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_\w{20,}|\bglpat-[\w-]{10,}"
    r"|\bxox[abprs]-[\w-]{10,}|\beyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----(?:(?!-----END)[\s\S])*(?:-----END [A-Z ]*-----)?"
)
_NAMES_A_SECRET = re.compile(rf"(?i)(?:.*[-_.])?(?:{_TELLING}|pwd)s?")


def redact(text: str) -> str:
    """`text` with anything that looks like a credential replaced by ***."""
    return _SECRETS.sub(lambda m: (m.group(1) or "") + "***", text)


def redacted(value: Any) -> Any:
    """Strings in any nesting without credentials: what looks like one, and what stands under a name that says so."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {
            redact(str(key)): "***"
            if isinstance(inner, str) and _NAMES_A_SECRET.fullmatch(str(key))
            else redacted(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [redacted(inner) for inner in value]
    return value


class JsonFormatter(logging.Formatter):
    """Renders a record as one JSON object; values given in `extra` become fields."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        line.update({k: v for k, v in vars(record).items() if k not in _STANDARD})
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return redact(json.dumps(line, default=str))


def configure(level: str = "INFO") -> None:
    """Send the `lib` loggers to stderr as JSON. Safe to call again."""
    root = logging.getLogger("lib")
    root.setLevel(level.upper())
    root.propagate = False
    if not root.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(JsonFormatter())
        root.addHandler(handler)
