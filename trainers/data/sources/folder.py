"""A folder of Rust files."""

from collections.abc import Iterator
from pathlib import Path

from evaluation.rust_files import rust_files
from trainers.data.sources.document import FILE, UNKNOWN_LICENSE, Document
from trainers.data.sources.source import Source, check_folder, files_identity, read_text


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
            reasons = f" (left out: {self.left_out_in_words()})" if self.left_out else ""
            raise ValueError(f"folder must hold .rs files in UTF-8, got {self.folder} with none{reasons}")

    def identity(self) -> str:
        return files_identity(rust_files(self.folder).paths, str(self.folder), self.license)


def _document(folder: Path, path: Path, code: str, license: str) -> Document:
    relative = path.relative_to(folder)
    source = relative.parts[0] if len(relative.parts) > 1 else folder.name
    return Document.of(source, relative.as_posix(), FILE, license, code)
