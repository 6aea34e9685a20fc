"""Jobs on a Dask cluster, the app's side: submit, pass on what the worker says, cancel, notice that it is lost.

Imported only when DASK_SCHEDULER_ADDRESS is set. The files a job needs lie on a path the workers share with the app;
where they do not, they are shipped with it and what it changed comes back.
"""

from __future__ import annotations

import asyncio
import json
import logging
import queue
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future as Answer
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from lib.errors import Unavailable
from lib.log import redact
from lib.settings import Settings
from lib.tasks import remote
from lib.tasks.job import CLUSTER

if TYPE_CHECKING:
    from distributed import Client, Future

logger = logging.getLogger(__name__)

LOOK_EVERY_S, GONE_WITHIN_S = 0.1, 1.2


class Lost(Exception):
    """The cluster, or the worker that had the job, is gone; in words."""


@contextmanager
def connected(address: str, timeout_s: float) -> Iterator[Client]:
    """A client of the scheduler that has a worker. Raises Unavailable, with what to try."""
    import dask
    from distributed import Client

    for name in ("distributed", "distributed.client"):  # what it has to say of lost connections is said in words
        logging.getLogger(name).setLevel(logging.CRITICAL)
    shown = redact(address)[:200]
    dask.config.set({"distributed.comm.timeouts.connect": timeout_s, "distributed.comm.timeouts.tcp": "30s"})
    try:
        asyncio.run(asyncio.wait_for(_greeted(address, timeout_s), timeout_s))
        client = Client(address, timeout=timeout_s, set_as_default=False, name="autoops")
    except (OSError, TimeoutError) as error:
        raise Unavailable(
            f"The Dask scheduler at {shown} does not answer within {timeout_s:g} s ({type(error).__name__}). Start "
            "it, correct DASK_SCHEDULER_ADDRESS, or set AUTOOPS_DASK_FALLBACK=true to run jobs here meanwhile."
        ) from None
    except ValueError:
        raise Unavailable(
            f"{shown} is no address of a Dask scheduler; set DASK_SCHEDULER_ADDRESS to tcp://host:port."
        ) from None
    except TypeError:  # how dask says that it was given no certificates
        raise Unavailable(
            f"The Dask scheduler at {shown} takes certificates; name them in dask's own settings, "
            "DASK_DISTRIBUTED__COMM__TLS__CA_FILE and those beside it."
        ) from None
    try:
        try:
            client.wait_for_workers(1, timeout=timeout_s)
        except TimeoutError:
            raise Unavailable(f"The Dask scheduler at {shown} has no worker; start one: dask worker {shown}.") from None
        yield client
    finally:
        with suppress(Exception):  # of a scheduler that is gone
            client.close(timeout=2)


async def _greeted(address: str, timeout_s: float) -> None:
    """Have the scheduler say hello: a client waits for that without end where something else listens, or it hangs."""
    from distributed.comm import connect
    from distributed.security import Security

    comm = await connect(address, timeout=timeout_s, **Security().get_connection_args("client"))
    comm.abort()


class Pulse:
    """Whether a scheduler still answers: it is asked now and then beside the job, since one that hangs keeps its
    connections open."""

    def __init__(self, client: Client, timeout_s: float) -> None:
        self.client, self.timeout_s = client, timeout_s
        self._asked: Answer[Any] | None = None
        self._ask_at = self._heard = time.monotonic()

    def look(self) -> None:
        """Raises Lost once it was silent for too long, or is gone."""
        now = time.monotonic()
        if self._asked is not None and self._asked.done():
            if not self._asked.cancelled() and self._asked.exception() is None:
                self._heard = now
            self._asked, self._ask_at = None, now + self.timeout_s / 4
        if self._asked is None and now >= self._ask_at:
            loop, scheduler = cast(Any, self.client.loop), cast(Any, self.client.scheduler)
            self._asked = asyncio.run_coroutine_threadsafe(scheduler.identity(n_workers=0), loop.asyncio_loop)
        if self.client.status == "closed" or now - self._heard > self.timeout_s:
            if self._asked is not None:
                self._asked.cancel()
            raise Lost("The Dask scheduler was lost while this ran.")


class RemoteJob:
    """One job on the cluster. `tell` is called with each event of the job in order; `deliver` with each file it hands
    over; `check` often: what it raises ends the job there."""

    def __init__(self, settings: Settings, folder: Path, workdir: Path, memory_mb: int) -> None:
        self.settings, self.folder, self.workdir, self.memory_mb = settings, folder, workdir, memory_mb
        self.timeout_s = settings.dask_timeout_s
        self.token = secrets.token_hex(8)

    def run(
        self,
        client: Client,
        job: str,
        params: dict[str, Any],
        *,
        tell: Callable[[dict[str, Any]], None],
        deliver: Callable[[Path, dict[str, Any]], dict[str, Any]],
        check: Callable[[], None],
    ) -> dict[str, Any]:
        """The worker's last word on the job. Raises Lost, Unavailable, and what `check` raises."""
        (self.workdir / remote.MARK).write_text(self.token)
        roots = self._roots(params)
        start = {
            "run": job,
            "params": params,
            "folder": str(self.folder),
            "workdir": str(self.workdir),
            "roots": roots,
            "memory_mb": self.memory_mb,
            "path": remote.path_here(),
            "token": self.token,
            "shared": True,
            "environment": {CLUSTER: self._variable()},
        }
        ended = self._submitted(client, start, None, tell, deliver, check)
        if ended["event"] == "unshared":
            tell({"event": "log", "message": "The workers do not see this machine's files: they are shipped.",
                  "level": "info", "values": {}})  # fmt: skip
            ended = self._submitted(client, {**start, "shared": False}, self._shipped(roots), tell, deliver, check)
            if ended.get("files"):
                remote.put_back(ended["files"], roots)
        return ended

    def _submitted(
        self,
        client: Client,
        start: dict[str, Any],
        shipped: bytes | None,
        tell: Callable[[dict[str, Any]], None],
        deliver: Callable[[Path, dict[str, Any]], dict[str, Any]],
        check: Callable[[], None],
    ) -> dict[str, Any]:
        from distributed import Queue

        topic = f"autoops-{self.token}"
        events: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        client.subscribe_topic(topic, lambda event: events.put(event[1]))
        answers = Queue(f"{topic}-answers", client=client)
        future = client.submit(remote.run, start, shipped, key=f"{topic}-{secrets.token_hex(4)}", pure=False, retries=0)
        begun, gone, pulse = 0, False, Pulse(client, self.timeout_s)
        try:
            while True:
                try:
                    event = events.get(timeout=LOOK_EVERY_S)
                except queue.Empty:
                    event = {"event": "none"}
                check()
                match event["event"]:
                    case "none":
                        if future.done() and (gone or future.status != "finished" or not begun):
                            return self._last_word(future)
                        if future.done() and begun:
                            # Its last words travel another way than its result.
                            gone = True
                    case "gone":
                        gone = True
                    case "begun":
                        begun += 1
                        if begun > 1:
                            raise Lost("The Dask worker that ran this was lost.")
                    case "deliver":
                        answers.put(self._taken(event, deliver))
                    case _:
                        tell(event)
                pulse.look()
        except BaseException:
            self._take_back(future, events, begun > 0 and not gone)
            raise
        finally:
            with suppress(Exception):
                client.unsubscribe_topic(topic)
                answers.close()

    def _taken(
        self, event: dict[str, Any], deliver: Callable[[Path, dict[str, Any]], dict[str, Any]]
    ) -> dict[str, Any]:
        path = self.workdir / event["path"]
        if event.get("data") is not None and path.resolve().is_relative_to(self.workdir.resolve()):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(event["data"])
        return deliver(path, event["values"])

    def _last_word(self, future: Future) -> dict[str, Any]:
        if future.status == "finished":
            return dict(future.result(timeout=self.timeout_s))
        if future.status in ("cancelled", "lost"):
            raise Lost("The Dask scheduler was lost while this ran: it no longer knows the job.")
        error = future.exception(timeout=self.timeout_s)
        if type(error).__name__ in ("KilledWorker", "CommClosedError"):
            raise Lost("The Dask worker that ran this was lost.")
        if isinstance(error, ImportError):
            raise Unavailable(
                f"The Dask workers cannot import this app ({error}); start them from its folder, with the same "
                "packages."
            )
        raise Unavailable(f"The Dask worker could not run the job: {redact(f'{type(error).__name__}: {error}')[:500]}")

    def _take_back(self, future: Future, events: queue.SimpleQueue[dict[str, Any]], wait: bool) -> None:
        """Have the worker end it; its process is gone within a second or so, unless nobody answers there."""
        with suppress(Exception):
            future.cancel(force=True)
        until = time.monotonic() + GONE_WITHIN_S
        while wait and time.monotonic() < until:
            with suppress(queue.Empty):
                wait = events.get(timeout=0.1)["event"] != "gone"

    def _roots(self, params: dict[str, Any]) -> list[str]:
        """Files and folders of the app that the job may look at: its own, and those its parameters name."""
        ours = [self.settings.data_dir.resolve(), self.settings.models_dir.resolve()]
        found: list[str] = [str(self.folder)]

        def look(value: Any) -> None:
            if isinstance(value, dict | list):
                for one in value.values() if isinstance(value, dict) else value:
                    look(one)
            elif isinstance(value, str) and value.startswith("/") and "\0" not in value:
                path = Path(value)
                inside = any(path.resolve().is_relative_to(one) and path.resolve() != one for one in ours)
                if inside and path.exists() and not any(path.is_relative_to(one) for one in found):
                    found.append(value.rstrip("/"))

        look(params)
        return found

    def _shipped(self, roots: list[str]) -> bytes:
        size = 0
        for root in map(Path, roots):
            files = [root] if root.is_file() else [one for one in root.rglob("*") if one.is_file()]
            size += sum(one.stat().st_size for one in files)
        most = self.settings.dask_ship_mb * 2**20
        if size > most:
            raise Unavailable(
                f"The job's files take {size / 2**20:,.0f} MB, and the Dask workers do not see the data directory. "
                f"Share it with them, or raise AUTOOPS_DASK_SHIP_MB (now {self.settings.dask_ship_mb})."
            )
        return remote.packed({root: Path(root) for root in roots})

    def _variable(self) -> str:
        return json.dumps(
            {
                "address": self.settings.dask_scheduler_address,
                "timeout_s": self.timeout_s,
                "boost_rows": self.settings.dask_boost_rows,
            }
        )
