"""One line an event, as JSON on stderr, so that a log can be read by people and by machines."""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime

_STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
# Whatever slips into a message or traceback: bearer tokens, URL passwords, provider keys.
_SECRETS = re.compile(
    r"(?i)(bearer\s+|basic\s+|api[-_]?key[\"'=:\s]+|password[\"'=:\s]+|token[\"'=:\s]+)[^\s\"',;&]+"
    r"|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)|\bsk-[A-Za-z0-9_-]{8,}|\bAIza[A-Za-z0-9_-]{10,}|\bao_[A-Za-z0-9_-]{10,}"
)


def redact(text: str) -> str:
    """`text` with anything that looks like a credential replaced by ***."""
    return _SECRETS.sub(lambda m: (m.group(1) or "") + "***", text)


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
