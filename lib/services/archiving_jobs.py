"""Archiving as a task: the app exports days, the child packs them and puts the files away, the app swaps them for the
hot rows one by one."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from lib import memory
from lib.settings import Settings
from lib.store import closing, restoring
from lib.store.archive import RAW, Part, date_of
from lib.store.closing import Plan, Retention
from lib.store.connection import Store
from lib.store.places import LocalPlace, Place, bucket
from lib.store.restoring import Verified
from lib.tasks.job import JobContext, JobKind

KIND, VERIFY = "archive", "archive.verify"
# What one task takes at most: the exported files lie on the disk meanwhile, ten bytes a sample.
_MOST_ROWS = 20_000_000
_MOST_DAYS = 31
# Packing takes 200 MB whatever a day's size: a part at a time.
_MEMORY_MB = 1024
_LISTED, _PARTS = "listed.json", TypeAdapter(list[Part])


def retention(settings: Settings) -> Retention:
    return Retention(
        hot=settings.archive_hot_days,
        raw=settings.archive_raw_days,
        tiers={"5m": settings.archive_minutes_days, "1h": settings.archive_hours_days},
    )


def place_of(settings: Settings) -> Place:
    """Where the settings want the archive."""
    return _place(_place_values(settings))


def kind_for(settings: Settings, store: Store, clock: Callable[[], datetime], ended: Callable[[str], None]) -> JobKind:
    """The kind of job, bound to the app's parts. ended: is told in words what a run did."""
    work = _AppSide(settings, store, clock, ended)
    return JobKind(
        KIND,
        "lib.services.archiving_jobs:run",
        prepare=work.prepare,
        receive=work.receive,
        finish=work.finish,
        memory_mb=_MEMORY_MB,
    )


def verify_for(settings: Settings, store: Store, ended: Callable[[Verified], None]) -> JobKind:
    """The kind of job that reads every file: a child compares, the app sets aside. ended: is told what was found."""

    def prepare(params: dict[str, Any], workdir: Path) -> dict[str, Any]:
        (workdir / _LISTED).write_bytes(_PARTS.dump_json(list(restoring.listed(store))))
        return {"place": _place_values(settings)}

    def finish(params: dict[str, Any], result: dict[str, Any], workdir: Path) -> dict[str, Any]:
        found = restoring.settle(store, result["doubts"])
        ended(found)
        return {"files": found.files, "damaged": list(found.damaged), "unknown": len(found.unknown)}

    return JobKind(VERIFY, "lib.services.archiving_jobs:verify", prepare, finish=finish)


def verify(context: JobContext, *, place: dict[str, Any]) -> dict[str, Any]:
    """Compare the files of the archive with what was noted of them; in the child."""
    parts = _PARTS.validate_json((Path(context.workdir) / _LISTED).read_bytes())
    return {"doubts": restoring.doubts(_place(place), parts, said=context.progress)}


class _AppSide:
    def __init__(
        self, settings: Settings, store: Store, clock: Callable[[], datetime], ended: Callable[[str], None]
    ) -> None:
        self.settings, self.store, self.clock, self.ended = settings, store, clock, ended

    def prepare(self, params: dict[str, Any], workdir: Path) -> dict[str, Any]:
        """Export as many of the days that are due as one task takes."""
        days, rows = [], 0
        for day in closing.due(self.store, retention(self.settings), self.clock())[:_MOST_DAYS]:
            plan = closing.prepare(self.store, day, workdir / str(day), self.clock())
            if plan.rows:
                days.append(day)
            else:  # all that was in it belonged to removed series
                closing.commit(self.store, plan, {}, workdir, self.clock())
            rows += plan.rows
            self._give_back()
            if rows > _MOST_ROWS:
                break
        return {"days": days, "place": _place_values(self.settings)}

    def receive(self, params: dict[str, Any], path: Path, values: dict[str, Any]) -> None:
        plan = Plan(**json.loads((path.parent / closing.ABOUT).read_text())["plan"])
        closing.commit(self.store, plan, values["made"], path, self.clock())
        self._give_back()

    def _give_back(self) -> None:
        """A day's export is the largest thing the app does itself; a month of them must not add up."""
        self.store.give_back()
        memory.trim()

    def finish(self, params: dict[str, Any], result: dict[str, Any], workdir: Path) -> dict[str, Any]:
        result["expired"] = len(closing.expire(self.store, retention(self.settings), self.clock()))
        days, samples, size = result["days"], result["samples"], result["size_bytes"]
        if days:
            self.ended(f"{days} days, {samples:,} samples, {size / samples:.2f} bytes each")
        else:
            self.ended("Nothing was due")
        return result


def run(context: JobContext, *, days: list[int], place: dict[str, Any]) -> dict[str, Any]:
    """Pack the exported days one by one; in the child."""
    where, samples, size_bytes = _place(place), 0, 0
    for number, day in enumerate(days):
        context.progress(number / len(days), date_of(day))
        folder = Path(context.workdir) / str(day)
        made = closing.pack(folder, where)
        context.deliver(folder / closing.SPANS, made=made)
        samples += made[RAW]["rows"]
        size_bytes += made[RAW]["size_bytes"]
        context.log(date_of(day), samples=made[RAW]["rows"], size_bytes=made[RAW]["size_bytes"])
    return {"days": len(days), "samples": samples, "size_bytes": size_bytes}


def _place_values(settings: Settings) -> dict[str, Any]:
    return {
        "url": settings.archive_url,
        "endpoint": settings.archive_endpoint,
        "key": settings.archive_key.get_secret_value(),
        "secret": settings.archive_secret.get_secret_value(),
        "folder": str(settings.data_dir / "archive"),
        "cache_mb": settings.archive_cache_mb,
        "timeout_s": settings.archive_timeout_s,
    }


def _place(values: dict[str, Any]) -> Place:
    folder = Path(values["folder"])
    if not values["url"]:
        return LocalPlace(folder)
    return bucket(
        values["url"],
        values["endpoint"],
        values["key"],
        values["secret"],
        folder.with_name("archive-cache"),
        int(values["cache_mb"]) * 2**20,
        earlier=folder,
        timeout_s=values["timeout_s"],
    )
