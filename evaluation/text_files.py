"""Text from files, with errors that name the file."""

import gzip
import io
import zlib
from pathlib import Path


def read_text(path: Path) -> str:
    r"""
    Read a text file in UTF-8, decompressed if its name ends with .gz; every end of line becomes `\n`.

    Raises:
        ValueError: The file cannot be read, is not UTF-8, or is a damaged archive.
    """
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} must be text in UTF-8, got {error.reason} at byte {error.start}") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path} must be a whole gzip file: {error}") from error
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    return io.StringIO(text, newline=None).read()
