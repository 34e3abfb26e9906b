"""
Files and folders that appear under their names when they are whole.

What is interrupted or finds the disk full leaves nothing behind, and its error names the file.
"""

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def named_in_errors(path: Path) -> Iterator[None]:
    """An `OSError` of a write, which does not know its file ("No space left on device"), gets the name."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


@contextmanager
def complete_file(path: Path) -> Iterator[Path]:
    """
    A name beside `path` to write to, which is renamed at the end; a file that is there is replaced.

    Raises:
        OSError: The file cannot be written; names `path`.
    """
    # A name of its own: two writers to one path must not write into each other's file.
    partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}.partial")
    try:
        with named_in_errors(path):
            yield partial
            partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def complete_folder(path: Path) -> Iterator[Path]:
    """
    A new folder beside `path` to write into, which is renamed at the end. Folders above it are made, and removed
    again where nothing came of it.

    Raises:
        ValueError: `path` exists and is no empty folder.
        OSError: Something cannot be written; names `path`.
    """
    path = path.absolute()
    check_new_folder(path)
    made = [parent for parent in path.parents if not parent.exists()]
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        with named_in_errors(path):
            partial.mkdir(parents=True)
            yield partial
            partial.replace(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        for parent in made:
            if parent.exists() and not any(parent.iterdir()):
                parent.rmdir()


def check_new_folder(path: Path) -> None:
    """Raises `ValueError` unless there is nothing at `path`, or an empty folder."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ValueError(f"out must be an empty folder or not be there, got {path}")


def check_new_file(path: Path, overwrite: bool) -> None:
    """
    What is at a path is not replaced without being asked to.

    Raises:
        ValueError: The file exists and `overwrite` was not asked for, or it can be no file at all.
    """
    if path.exists() and not path.is_file():
        # The file takes the place of what was there, which must not be a device such as /dev/null.
        fault = "a folder" if path.is_dir() else "no regular file"
        raise ValueError(f"out must name a file, got {path}, which is {fault}")
    if not path.parent.is_dir():
        raise ValueError(f"out must name a file in a folder that exists, got {path}")
    if path.exists() and not overwrite:
        raise ValueError(f"{path} exists: choose another name, or replace it with --overwrite")
