"""Text files as they come: packed, in whatever encoding, or no text at all; made plain UTF-8, or refused."""

from __future__ import annotations

import codecs
import hashlib
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

from lib.errors import Invalid

PIECE_BYTES = 1 << 20
# Tables seldom shrink to less than a fiftieth; files made to fill a disk do to a thousandth.
MOST_RATIO, RATIO_FROM_BYTES = 200, 64 << 20
# What a person may say a file is written in; the rest is found out.
KNOWN = ("utf-8", "utf-16", "windows-1252", "iso-8859-1", "iso-8859-15", "windows-1250", "windows-1251", "shift_jis")
_MARKS = {
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a ZIP archive or an Excel workbook",
    b"PAR1": "a Parquet file",
    b"\x1f\x8b": "packed with gzip; name it .gz",
    b"BZh": "packed with bzip2",
    b"\xfd7zXZ": "packed with xz",
    b"\x28\xb5\x2f\xfd": "packed with zstd",
    b"\x7fELF": "a program",
    b"SQLite format 3": "an SQLite database",
    b"\xd0\xcf\x11\xe0": "an old Office document",
    b"\x80\x04\x95": "a pickle",
}
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
# Letters of western languages in Windows-1252, and what it does not define.
_WESTERN = re.compile(rb"[\xc0-\xd6\xd8-\xf6\xf8-\xff]")
_HIGH, _UNDEFINED = re.compile(rb"[\x80-\xff]"), re.compile(rb"[\x81\x8d\x8f\x90\x9d]")
_LETTERS = re.compile(rb"[A-Za-z]")


@dataclass(frozen=True)
class Seen:
    """What one pass over a file told. bad_byte: where it stops being UTF-8; None: it is."""

    digest: str
    bad_byte: int | None


def kind_of_binary(head: bytes) -> str | None:
    """What a file that is no text is, by how it begins; None when its beginning says nothing."""
    return next((words for mark, words in _MARKS.items() if head.startswith(mark)), None)


def unpack(source: Path, target: Path, most_bytes: int) -> None:
    """Unpack gzip piece by piece. Raises Invalid for what is none, is cut short, or grows beyond all measure."""
    packed, size = source.stat().st_size, 0
    inflate = zlib.decompressobj(wbits=31)
    with source.open("rb") as file, target.open("wb") as out:
        rest = b""
        while piece := rest or file.read(PIECE_BYTES):
            if inflate.eof:  # several members one after the other are one file
                if not piece.strip(b"\0"):
                    rest = b""
                    continue
                inflate = zlib.decompressobj(wbits=31)
            try:
                plain = inflate.decompress(piece, PIECE_BYTES)
            except zlib.error as error:
                raise Invalid(f"The file cannot be unpacked: {error}. Pack it again with gzip.") from None
            rest = inflate.unused_data if inflate.eof else inflate.unconsumed_tail
            size += len(plain)
            if size > most_bytes:
                raise Invalid(f"Unpacked it is larger than {most_bytes / 2**20:,.0f} MB, the most a dataset may be.")
            if size > max(RATIO_FROM_BYTES, MOST_RATIO * packed):
                raise Invalid(
                    f"{packed:,} packed bytes unpack to more than {size:,}: this looks like a compression bomb and was "
                    "not unpacked further. If it is real data, bring it unpacked."
                )
            out.write(plain)
    if not inflate.eof:
        raise Invalid("The packed file ends in the middle; export it again.")


def beginning(source: Path) -> bytes:
    """What tells of what kind a file is."""
    with source.open("rb") as file:
        return file.read(64 * 1024)


def refuse_binary(head: bytes, takes: str) -> None:
    """Raises Invalid when a file's beginning holds what no text has. takes: what to bring instead."""
    if not head.strip(b"\xef\xbb\xbf\r\n\t ,;"):
        raise Invalid("It holds no values; check the export that made it.")
    kind = kind_of_binary(head)
    if kind is None and wide(head):
        return
    if kind is not None or _CONTROL.search(head):
        said = f"It is {kind}" if kind else "It holds bytes that no text has"
        raise Invalid(f"{said}, not a table of text. Bring {takes}.")


def look(source: Path) -> Seen:
    """The digest of a file, and whether it is UTF-8 to its end."""
    digest, decoder, place, bad = hashlib.sha256(), codecs.getincrementaldecoder("utf-8")(), 0, None
    with source.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            digest.update(piece)
            if bad is None:
                held = len(decoder.getstate()[0])
                try:
                    decoder.decode(piece)
                except UnicodeDecodeError as error:
                    bad = place - held + error.start
            place += len(piece)
    if bad is None and decoder.getstate()[0]:
        bad = place - len(decoder.getstate()[0])
    return Seen(digest.hexdigest(), bad)


def wide(head: bytes) -> str | None:
    """utf-16 in one of its forms, which is told by how a file begins; None for everything else."""
    return "utf-16" if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else _sixteen(head)


def found_out(source: Path, seen: Seen) -> str:
    """What a file that is not UTF-8 is written in. Raises Invalid, naming the line, when nothing fits it."""
    high = western = letters = 0
    undefined = False
    mixed = False
    with source.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            high += len(_HIGH.findall(piece))
            western += len(_WESTERN.findall(piece))
            letters += len(_LETTERS.findall(piece))
            undefined = undefined or bool(_UNDEFINED.search(piece))
            mixed = mixed or bool(re.search(rb"[\xc3\xc2][\x80-\xbf]", piece))
    # Western text is mostly plain letters with a few beyond; other alphabets are mostly beyond.
    if not undefined and not mixed and western >= 0.6 * high and high <= 0.4 * (letters + high):
        return "windows-1252"
    line, piece = line_of(source, seen.bad_byte or 0)
    both = "; other lines are, so it mixes two encodings" if mixed else ""
    raise Invalid(
        f"The text is in no encoding that can be told: line {line:,} holds {piece!r}, which is not UTF-8{both}. "
        "Save it as UTF-8, or say its encoding."
    )


def recode(source: Path, target: Path, encoding: str) -> None:
    """Write the file anew in UTF-8. Raises Invalid, naming the line, where it is not in this encoding."""
    try:
        decoder = codecs.getincrementaldecoder(encoding)()
    except LookupError:
        raise Invalid(f"There is no encoding {encoding[:40]!r}; known are {', '.join(KNOWN)}.") from None
    place = 0
    with source.open("rb") as file, target.open("wb") as out:
        while True:
            piece = file.read(PIECE_BYTES)
            held = len(decoder.getstate()[0])
            try:
                text = decoder.decode(piece, final=not piece)
            except UnicodeDecodeError as error:
                line, bad = line_of(source, max(place - held + error.start, 0))
                raise Invalid(
                    f"The text is not {encoding}: line {line:,} holds {bad!r}. Choose another, or save it as UTF-8."
                ) from None
            out.write(text.encode("utf-8", "surrogatepass"))
            place += len(piece)
            if not piece:
                return


def line_of(source: Path, byte: int) -> tuple[int, bytes]:
    """The number of the line that holds this byte, and a few bytes around it."""
    line, place = 1, 0
    with source.open("rb") as file:
        while place < byte and (piece := file.read(min(PIECE_BYTES, byte - place))):
            line += piece.count(b"\n")
            place += len(piece)
        file.seek(max(byte - 8, 0))
        around = file.read(16)
    return line, around


def _sixteen(head: bytes) -> str | None:
    """UTF-16 without its mark: every other byte of western text is zero."""
    if len(head) < 8:
        return None
    even, odd = head[::2].count(0) / len(head[::2]), head[1::2].count(0) / len(head[1::2])
    if odd > 0.4 and even < 0.05:
        return "utf-16-le"
    return "utf-16-be" if even > 0.4 and odd < 0.05 else None
