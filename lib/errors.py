"""The tree of errors a person may see: each says what happened, with which value, and what to try."""

from __future__ import annotations


class AppError(Exception):
    """Root of every error this project raises on purpose.

    `code` is stable and machine-readable (API, tests); `status` is the HTTP status an API answers with.
    """

    code = "error"
    status = 500

    def __init__(self, message: str, **values: object) -> None:
        super().__init__(message)
        self.message = message
        self.values = values


class Invalid(AppError):
    """Input that cannot be accepted as it is."""

    code, status = "invalid", 422


class NotFound(AppError):
    """A name or id that nothing here has."""

    code, status = "not_found", 404


class Conflict(AppError):
    """The request contradicts what is already there."""

    code, status = "conflict", 409


class Unauthenticated(AppError):
    """Nobody is signed in, or the session or key is no longer valid."""

    code, status = "unauthenticated", 401


class Forbidden(AppError):
    """Signed in, but the role does not allow this."""

    code, status = "forbidden", 403


class TooMany(AppError):
    """A rate limit or lockout; `values['retry_after_s']` says when to come back."""

    code, status = "too_many", 429


class Unavailable(AppError):
    """A part this needs is down or not configured."""

    code, status = "unavailable", 503


# --- sources -----------------------------------------------------------------------------------


class SourceError(AppError):
    """A metrics source did not give what was asked. `retryable` tells the collector what to do."""

    code, status, retryable = "source_error", 502, True


class SourceDown(SourceError):
    """Refused, reset, unresolvable, or cut in the middle."""

    code = "source_down"


class SourceSlow(SourceError):
    """The total deadline passed, however the bytes trickled."""

    code, status = "source_slow", 504


class SourceBusy(SourceError):
    """429 or 5xx; `values['retry_after_s']` is what the server asked for, when it did."""

    code = "source_busy"


class SourceRefused(SourceError):
    """401 or 403: the credentials are wrong. Not retried."""

    code, retryable = "source_refused", False


class SourceTLS(SourceError):
    """The certificate did not verify. Closed, never downgraded."""

    code, retryable = "source_tls", False


class SourceAnswer(SourceError):
    """The body is not what the API promises: truncated JSON, or `status: error`."""

    code = "source_answer"


class SourceTooLarge(SourceError):
    """The body passed the byte cap, or a metric has more series than its cap."""

    code, retryable = "source_too_large", False


class UrlRefused(SourceError):
    """The URL's scheme or address is not allowed (SSRF guard), redirects included."""

    code, status, retryable = "url_refused", 422, False


# --- store -------------------------------------------------------------------------------------


class StoreError(AppError):
    """The DuckDB file cannot serve."""

    code, status = "store_error", 503


class StoreBusy(StoreError):
    """Another process holds the file; `values['pid']` when known."""

    code = "store_busy"


class StoreCorrupt(StoreError):
    """The file or its WAL does not open; it was moved to quarantine, the message says where."""

    code = "store_corrupt"


class StoreFull(StoreError):
    """The disk is full: writing pauses, reading goes on."""

    code = "store_full"


class StoreReadOnly(StoreError):
    """The directory cannot be written: everything can be looked at, nothing collected."""

    code = "store_read_only"


# --- people's SQL ------------------------------------------------------------------------------


class SqlError(AppError):
    """A query that cannot be run as it is; `values` hold line and column (from 1, when known) and a hint."""

    code, status = "sql_error", 422


class SqlLimit(AppError):
    """A query that took more time or memory than one may; it was ended."""

    code, status = "sql_limit", 422


class SqlCancelled(AppError):
    """The person who started the query ended it."""

    code, status = "sql_cancelled", 409


# --- learning ----------------------------------------------------------------------------------


class NotEnoughData(AppError):
    """Fewer usable points than the method needs; says how many there are and how many it takes."""

    code, status = "not_enough_data", 422


class ArtefactRefused(AppError):
    """A model file that fails its checksum or names a type outside our allow-list."""

    code, status = "artefact_refused", 422


# --- language models ---------------------------------------------------------------------------


class ProviderError(AppError):
    """A language model gave no answer. `retryable`: worth another try; else go to the next provider."""

    code, status, retryable = "provider_error", 502, True


class ProviderRefused(ProviderError):
    """Wrong key or no quota."""

    code, retryable = "provider_refused", False


class ProviderTimeout(ProviderError):
    """The deadline passed."""

    code, status = "provider_timeout", 504
