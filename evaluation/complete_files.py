"""
Files and folders that get their names when they are complete.

A write that is interrupted, or finds the disk full, leaves nothing behind, and its error names the file.
"""

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def named_in_errors(path: Path) -> Iterator[None]:
    """Add the path to an `OSError` of a write that has no file name, such as "No space left on device"."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


@contextmanager
def complete_file(path: Path) -> Iterator[Path]:
    """
    Yield a path beside `path` to write to, which is renamed to `path` at the end; an existing file is replaced.

    Raises:
        OSError: The file cannot be written; names `path`.
    """
    # A unique name: two writers to one path must not write into the same file.
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
    Yield a new folder beside `path` to write into, which is renamed to `path` at the end. Missing parent folders are
    created, and removed again after an error.

    Raises:
        ValueError: `path` exists and is not an empty folder.
        OSError: A file cannot be written; names `path`.
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


def delete_partial(folder: Path) -> None:
    """Delete what killed writes left below a folder, in which no other process may be writing."""
    for path in sorted(folder.rglob("*.partial")):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def check_new_folder(path: Path) -> None:
    """Raise `ValueError` unless `path` does not exist or is an empty folder."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ValueError(f"--output-dir must be a new or an empty folder, got {path}: choose another name")


def check_new_file(path: Path, overwrite: bool) -> None:
    """
    Check that a file can be written to `path`.

    Raises:
        ValueError: The file exists and `overwrite` is false, `path` is not a regular file, or its folder is missing.
    """
    if path.exists() and not path.is_file():
        # An existing file is replaced, which must not happen to a device such as /dev/null.
        fault = "a folder" if path.is_dir() else "no regular file"
        raise ValueError(f"--output must name a file, got {path}, which is {fault}")
    if not path.parent.is_dir():
        raise ValueError(f"--output must name a file in a folder that exists, got {path}: create the folder")
    if path.exists() and not overwrite:
        raise ValueError(f"{path} exists: choose another name, or replace it with --overwrite")
