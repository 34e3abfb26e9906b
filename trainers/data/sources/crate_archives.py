"""`.crate` files, as crates.io has them: gzipped tar archives with the sources of one crate."""

import gzip
import tarfile
import tempfile
import zlib
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from trainers.data.sources.source import MAX_BYTES, TOO_LARGE

MAX_UNPACKED = 512 << 20
"""Maximum size of an archive in bytes after decompression; a larger one is not read."""
MAX_MEMBERS = 100_000
MANIFEST = "Cargo.toml"
UNSAFE_MEMBER = "that are links or have unsafe paths in an archive"


class BadArchive(ValueError):
    """An archive that cannot be read."""


@contextmanager
def unpacked_crate(archive: Path, left_out: Counter[str]) -> Generator[Path]:
    """
    Unpack the .rs files and the manifests of a `.crate` file into a temporary folder, and yield that folder. It is
    removed at the end.

    Nothing is written elsewhere: links, absolute paths and paths with ".." are left out. Files over `MAX_BYTES` are
    left out as well.

    Args:
        archive: The file.
        left_out: Counts the files that are left out, by the reason.

    Raises:
        BadArchive: The file is not a gzipped tar archive, or has too many files or bytes.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder, seen = Path(temporary), set()
        for name, content in _members(archive, left_out):
            path = _safe_path(name)
            # A second file of the same name, or one below a file, cannot come from cargo.
            if path is None or path in seen or not seen.isdisjoint(path.parents):
                left_out[UNSAFE_MEMBER] += 1
                continue
            seen.add(path)
            target = folder / path
            if target.is_dir():
                left_out[UNSAFE_MEMBER] += 1
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        yield folder


def _members(archive: Path, left_out: Counter[str]) -> Iterator[tuple[str, bytes]]:
    try:
        with _BoundedGzip(archive) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
            for number, member in enumerate(tar):
                if number == MAX_MEMBERS:
                    raise BadArchive(f"{archive} must have at most {MAX_MEMBERS:,} files, got more")
                if member.isdir() or not (member.name.endswith(".rs") or PurePosixPath(member.name).name == MANIFEST):
                    continue
                file = tar.extractfile(member) if member.isreg() else None
                if file is None:
                    left_out[UNSAFE_MEMBER] += 1
                elif member.size > MAX_BYTES:
                    left_out[TOO_LARGE] += 1
                else:
                    yield member.name, file.read()
    except (tarfile.TarError, zlib.error, gzip.BadGzipFile, EOFError) as error:
        raise BadArchive(f"{archive} must be a .crate file (a gzipped tar archive), got one with {error}") from error


def _safe_path(name: str) -> PurePosixPath | None:
    path = PurePosixPath(name)
    is_safe = not path.is_absolute() and ".." not in path.parts and "\0" not in name
    return path if is_safe and all(len(part.encode(errors="replace")) < 256 for part in path.parts) else None


class _BoundedGzip(gzip.GzipFile):
    """A file that ends with an error after `MAX_UNPACKED` bytes: a small file can hold a huge archive."""

    unpacked = 0

    def read(self, size: int | None = -1) -> bytes:
        left = MAX_UNPACKED - self.unpacked
        content = super().read(left + 1 if size is None or size < 0 else min(size, left + 1))
        self.unpacked += len(content)
        if self.unpacked > MAX_UNPACKED:
            raise BadArchive(f"{self.name} must have at most {MAX_UNPACKED >> 20} MB unpacked, got more")
        return content
