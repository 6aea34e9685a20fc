"""Files on their way in: what their names say, taken in piece by piece, handed to the job that reads them."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Set
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, TypedDict

from lib.errors import Invalid, NotFound, Unavailable
from lib.settings import Settings
from lib.store.encodings import KNOWN
from lib.tasks.job import storable

FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".xlsx": "excel",
    ".xlsm": "excel",
    ".xls": "excel",
}
PACKED = ("csv", "tsv", "jsonl")
PIECE_BYTES = 1024 * 1024
DELIMITERS = (",", ";", "\t", "|")


class Reading(TypedDict, total=False):
    """How a file is to be read; what is left out, or None, is found out. sheet: of a workbook, else the first that is a
    table."""

    encoding: str | None
    delimiter: str | None
    sheet: str | None


def asked(
    name: str, encoding: str | None = None, delimiter: str | None = None, sheet: str | None = None
) -> dict[str, Any]:
    """What a job is told of a file that is brought, with a key of its own. Raises Invalid for what cannot be."""
    shown, format_, packed = named(name)
    if encoding is not None and encoding not in KNOWN:
        raise Invalid(f"There is no encoding {encoding[:40]!r} to choose; known are {', '.join(KNOWN)}.")
    if delimiter is not None and delimiter not in DELIMITERS:
        raise Invalid("The delimiter is a comma, a semicolon, a tab or a bar.")
    if sheet is not None and format_ != "excel":
        raise Invalid(f"{shown} has no sheets; only Excel workbooks have.")
    return {
        "id": secrets.token_hex(8),
        "name": shown,
        "title": title_of(PurePosixPath(shown.removesuffix(".gz")).stem),
        "format": format_,
        "packed": packed,
        "file": None,
        "encoding": encoding,
        "delimiter": "\t" if format_ == "tsv" else delimiter,
        "sheet": storable(sheet, 200) if sheet else None,
    }


class Incoming:
    """What was uploaded and is not read yet; `offered`: the folder of files the machine's owner put there."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.folder, self.offered = settings.data_dir / "datasets" / "incoming", settings.data_dir / "files"

    def names(self) -> list[str]:
        """Files in `offered` that a dataset can be made of, sorted; none that a link leads out to."""
        if not self.offered.is_dir():
            return []
        home = self.offered.resolve()
        found = (one for one in self.offered.iterdir() if one.is_file() and one.resolve().parent == home)
        return sorted(one.name for one in found if _format(one.name) is not None)[:200]

    def take(self, stream: BinaryIO, key: str, shown: str) -> int:
        """Copy piece by piece, whatever size the sender claimed. Raises Invalid, or Unavailable without room."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / key
        cap, size = int(self.settings.dataset_max_mb * 2**20), 0
        try:
            with path.open("wb") as out:
                while piece := stream.read(PIECE_BYTES):
                    size += len(piece)
                    if size > cap:
                        raise Invalid(
                            f"{shown} is larger than the {self.settings.dataset_max_mb:g} MB a dataset may be; bring a "
                            "part of it, or raise AUTOOPS_DATASET_MAX_MB."
                        )
                    out.write(piece)
        except OSError as error:
            raise Unavailable(
                f"{shown} could not be stored ({error.strerror or error}); make room in {self.settings.data_dir}."
            ) from error
        if not size:
            raise Invalid(f"{shown} is empty; check the export that made it.")
        return size

    def check(self, name: str) -> None:
        """Raises Invalid for a name no file may come under."""
        named(name)

    def drop(self, key: str) -> None:
        """Forget an upload that nothing will be made of."""
        (self.folder / key).unlink(missing_ok=True)

    def prepare(self, params: dict[str, Any], workdir: Path) -> dict[str, Any]:
        """An upload moves to the job's own folder, which is removed however the job ends."""
        settings = self.settings
        caps = {
            "size_bytes": int(settings.dataset_max_mb * 2**20),
            "rows": settings.dataset_max_rows,
            "columns": settings.dataset_max_columns,
        }
        path = self.offered / params["file"] if params["file"] else workdir / "upload"
        if params["file"] is None:
            try:
                (self.folder / params["id"]).replace(path)
            except FileNotFoundError:
                raise NotFound("The uploaded file is gone; upload it again.") from None
        return {**params, "path": str(path), "caps": caps}

    def sweep(self, waiting: Set[str]) -> None:
        """Remove what a killed process left; uploads of tasks that still wait for their turn stay."""
        if self.folder.is_dir():
            for path in self.folder.iterdir():
                if path.name not in waiting:
                    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def named(name: str) -> tuple[str, str, bool]:
    """What a file is shown as, its format, and whether it is packed. Raises Invalid for path parts and other kinds."""
    clean = storable(name, 1000)
    if "/" in clean or "\\" in clean or clean != name or clean in (".", ".."):
        raise Invalid(f"{name[:80]!r} holds parts of a path or is no file name; send the name alone, as data.csv.")
    found = _format(clean)
    if found is None:
        raise Invalid(f"{clean[:80]!r} is none of {', '.join(FORMATS)} (text also with .gz). Save it as one of these.")
    stem = " ".join(clean.split())
    return (stem if len(stem) <= 100 else stem[:60] + stem[-40:]), *found


def _format(name: str) -> tuple[str, bool] | None:
    suffix = PurePosixPath(name.lower().removesuffix(".gz")).suffix
    format_, packed = FORMATS.get(suffix), name.lower().endswith(".gz")
    return None if format_ is None or (packed and format_ not in PACKED) else (format_, packed)


def title_of(name: str) -> str:
    """The name of a dataset. Raises Invalid for an empty one."""
    clean = " ".join(storable(name, 200).split())[:100]
    if not clean:
        raise Invalid("Give the dataset a name.")
    return clean
