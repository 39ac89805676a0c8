"""A file as received → plain bytes, text as UTF-8: piece by piece, never more than allowed, complete or refused.

A few hundred bytes can be compressed from gigabytes, so the size is checked while it grows. The type of a file is taken
from its first bytes, because names are unreliable.
"""

from __future__ import annotations

import codecs
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import IO, Any, Final

from convergence.errors import StepFailed
from convergence.ports.warehouse import FileFormat

PIECE: Final = 256 * 1024
MEMBERS_MAX: Final = 100_000  # of one gzip file; AWS writes a member for each block
_GZIP, _ZSTD, _ZIP, _PARQUET = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PK\x03\x04", b"PAR1"
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SUFFIXES: Final = {
    ".csv": FileFormat.CSV,
    ".tsv": FileFormat.CSV,
    ".ndjson": FileFormat.NDJSON,
    ".jsonl": FileFormat.NDJSON,
    ".json": FileFormat.NDJSON,
    ".parquet": FileFormat.PARQUET,
}
_COMPRESSIONS: Final = frozenset({".gz", ".gzip", ".zst", ".zstd", ".zip"})


def unpack(
    name: str, source: Path, target: Path, *, kind: FileFormat | None, encoding: str, bytes_max: int
) -> FileFormat:
    """Write `source` to `target`, decompressed, text as UTF-8 without a byte order mark; return what the file is.

    `kind` None: it is detected by the first bytes, or else by the name. A byte order mark overrides `encoding`; no
    other encoding is guessed.

    Raises `StepFailed` for a file that is truncated, damaged, encrypted, or larger than `bytes_max`, and with the line
    for bytes that are invalid in the encoding.
    """
    try:
        with source.open("rb") as data, target.open("wb") as out:
            pieces = _bounded(_pieces(data), bytes_max)
            first = next(pieces, b"")
            kind = kind or _format(name, first)
            pieces = chain([first], pieces)
            for piece in pieces if kind is FileFormat.PARQUET else _as_utf8(pieces, encoding):
                out.write(piece)
    except (zlib.error, zipfile.BadZipFile, EOFError, StepFailed) as error:
        raise StepFailed(f"{name}: {str(error) or 'the compressed data is truncated'}") from error
    return kind


def _format(name: str, first: bytes) -> FileFormat:
    if first.startswith(_PARQUET):
        return FileFormat.PARQUET
    plain = Path(name.rpartition("/")[2].partition("?")[0])
    while plain.suffix.lower() in _COMPRESSIONS:
        plain = plain.with_suffix("")
    found = _SUFFIXES.get(plain.suffix.lower())
    if found is None:
        raise StepFailed("its format is not evident from its name: set config.format")
    return found


def _pieces(data: IO[bytes]) -> Iterator[bytes]:
    start = data.read(4)
    data.seek(0)
    if start[:2] == _GZIP:
        return _gunzip(data)
    if start == _ZSTD:
        return _unzstd(data)
    return _unzip(data) if start == _ZIP else iter(lambda: data.read(PIECE), b"")


def _bounded(pieces: Iterator[bytes], bytes_max: int) -> Iterator[bytes]:
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > bytes_max:
            raise StepFailed(f"it is larger than {bytes_max / 2**20:,.0f} MiB: raise config.file_mib_max")
        yield piece


def _as_utf8(pieces: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    first = next(pieces, b"")
    mark, encoding = next(((mark, kind) for mark, kind in _MARKS if first.startswith(mark)), (b"", encoding))
    try:
        decoder = codecs.getincrementaldecoder(encoding)(errors="strict")
        same = codecs.lookup(encoding).name == "utf-8"
    except LookupError:
        raise StepFailed(f"config.encoding: {encoding!r} is not an encoding") from None
    line = 1
    try:
        for piece in chain([first[len(mark) :]], pieces):
            text = decoder.decode(piece)
            if "\0" in text:
                line += text[: text.index("\0")].count("\n")
                raise StepFailed(f"line {line}: it contains a NUL: this is not text, or not {encoding}")
            line += text.count("\n")
            yield piece if same else text.encode()
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        line += bytes(error.object[: error.start]).count(b"\n")
        raise StepFailed(f"line {line}: the bytes are not {encoding}; set config.encoding") from error


def _gunzip(data: IO[bytes]) -> Iterator[bytes]:
    member, members = zlib.decompressobj(31), 1
    while piece := data.read(PIECE):
        while piece:
            if member.eof:
                members += 1
                if members > MEMBERS_MAX:
                    raise StepFailed(f"it has more than {MEMBERS_MAX:,} compressed parts")
                member = zlib.decompressobj(31)
            yield member.decompress(piece, PIECE)
            piece = member.unused_data if member.eof else member.unconsumed_tail
    while not member.eof:  # the rest of the last piece
        rest = member.decompress(member.unconsumed_tail, PIECE)
        if not rest:
            raise StepFailed("the compressed data is truncated")
        yield rest


def _unzstd(data: IO[bytes]) -> Iterator[bytes]:
    with _zstd_file()(data) as file:
        yield from iter(lambda: file.read(PIECE), b"")


def _zstd_file() -> Callable[[IO[bytes]], Any]:
    try:
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd
    except ImportError:
        raise StepFailed("it is compressed with zstd: install convergence-pipelines[zstd]") from None
    return zstd.ZstdFile


def _unzip(data: IO[bytes]) -> Iterator[bytes]:
    with zipfile.ZipFile(data) as archive:
        files = [each for each in archive.infolist() if not each.is_dir()]
        if len(files) != 1:
            raise StepFailed(f"the archive holds {len(files)} files; one is read")
        if files[0].flag_bits & 1:
            raise StepFailed("the archive is encrypted")
        with archive.open(files[0]) as file:
            yield from iter(lambda: file.read(PIECE), b"")
