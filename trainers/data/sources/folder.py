"""A folder of Rust files."""

from collections.abc import Iterator
from pathlib import Path

from evaluation.rust_files import rust_files
from trainers.data.sources.document import FILE, UNKNOWN_LICENSE, Document
from trainers.data.sources.source import EMPTY, UNREADABLE, Source, check_folder, files_identity, read_text


class FolderSource(Source):
    """
    The .rs files below a folder that `rust_files` selects. The source of a document is the name of the top-level
    subfolder that it is in, or of the folder itself.

    Args:
        folder: The folder.
        license: SPDX expression for all files; a folder itself does not say.
        is_own: Whether it is the user's own project, which no filter leaves out.
    """

    kind = "folder"

    def __init__(self, folder: Path, license: str = UNKNOWN_LICENSE, is_own: bool = False):
        self.folder, self.license = folder.resolve(), license
        super().__init__(self.folder.name)
        self.is_own = is_own

    def _documents(self) -> Iterator[Document]:
        found = rust_files(self.folder)
        self.left_out.update(found.left_out)
        for path in found.paths:
            code = read_text(path, self.left_out)
            if code is not None:
                yield _document(self.folder, path, code, self.license)

    def check(self) -> None:
        check_folder("folder", self.folder)
        if next(self.read(), None) is None:
            raise ValueError(f"folder must hold .rs files in UTF-8, got {self.folder} with none")

    def identity(self) -> str:
        return files_identity(rust_files(self.folder).paths, str(self.folder), self.license)


def _document(folder: Path, path: Path, code: str, license: str) -> Document:
    relative = path.relative_to(folder)
    source = relative.parts[0] if len(relative.parts) > 1 else folder.name
    return Document.of(source, relative.as_posix(), FILE, license, code)


def read_folder(folder: Path) -> Iterator[Document]:
    """
    Yield the .rs files below a folder as [`FolderSource`] does, but of any size, and print how many are left out and
    why.

    Raises:
        ValueError: The folder does not exist or has no readable .rs file.
    """
    files, readable = rust_files(folder), 0
    for path in files.paths:
        try:
            code = path.read_text(encoding="utf-8")
        except (UnicodeDecodeError, OSError):
            files.left_out[UNREADABLE] += 1
            continue
        if not code.strip():
            files.left_out[EMPTY] += 1
            continue
        readable += 1
        yield _document(folder, path, code, UNKNOWN_LICENSE)
    if not readable:
        raise ValueError(
            f"data_dir must be a folder with .rs files in UTF-8, got {str(folder)!r} with none"
            + (f" (left out: {files})" if files.left_out else "")
        )
    if files.left_out:
        print(f"{folder}: {readable:,} files read; left out: {files}")
