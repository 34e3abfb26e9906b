"""Sources of crates: a vendor folder, Debian's registry folder, `.crate` archives, or one crate or workspace."""

from collections.abc import Iterator
from pathlib import Path

from trainers.data.sources.crate import Crate, count_tests, is_package, read_crate
from trainers.data.sources.crate_archives import MANIFEST, BadArchive, unpacked_crate
from trainers.data.sources.document import FILE, Document
from trainers.data.sources.source import LINK_OUTSIDE, Source, check_folder, files_identity, read_text

ARCHIVE = ".crate"
DEBIAN_REGISTRY = Path("usr/share/cargo/registry")
"""Where Debian's librust-*-dev packages install the sources of crates, and cargo finds them as a vendored source."""
BAD_MANIFEST = "crates whose Cargo.toml cannot be read"
BAD_ARCHIVE = "archives that cannot be read"
NO_FILES = "crates without .rs files"


class CrateSource(Source):
    """
    All .rs files of crates, including their tests, examples and build scripts.

    Args:
        path: A folder of crates (of `cargo vendor`, or of Debian's packages, or their root), a folder of `.crate`
            files, one `.crate` file, or the folder of one crate or workspace.
    """

    kind = "crates"

    def __init__(self, path: Path):
        super().__init__(self.kind)
        self.path = path

    def vendored_folder(self) -> Path | None:
        """Return the folder with a folder for each crate, beside its dependencies; None if there is none."""
        if self.path.is_file() or is_package(self.path):
            return None
        registry = self.path / DEBIAN_REGISTRY
        folder = registry if registry.is_dir() else self.path
        return folder if any(is_package(entry) for entry in folder.iterdir()) else None

    def crates(self) -> Iterator[Crate]:
        """Yield the crates in the order of their names. The folder of one from an archive is removed afterwards."""
        for place in self._places():
            if place.is_dir():
                yield from self._crate_in(place)
                continue
            try:
                with unpacked_crate(place, self.left_out) as folder:
                    for each in sorted(folder.iterdir()):
                        if is_package(each):
                            yield from self._crate_in(each)
            except BadArchive:
                self.left_out[BAD_ARCHIVE] += 1

    def _crate_in(self, folder: Path) -> Iterator[Crate]:
        try:
            crate = read_crate(folder)
        except ValueError:
            self.left_out[BAD_MANIFEST] += 1
            return
        if crate is not None:
            yield crate

    def _places(self) -> Iterator[Path]:
        """Yield the folders with a manifest and the archives."""
        if self.path.is_file():
            yield self.path
        elif is_package(self.path):
            below = (manifest.parent for manifest in self.path.rglob(MANIFEST))
            yield from sorted(folder for folder in below if self._belongs(folder) and is_package(folder))
        elif self.path.is_dir():
            registry = self.path / DEBIAN_REGISTRY
            for entry in sorted((registry if registry.is_dir() else self.path).iterdir()):
                if entry.is_symlink():
                    self.left_out[LINK_OUTSIDE] += 1
                elif (entry.is_dir() and is_package(entry)) or (entry.is_file() and entry.suffix == ARCHIVE):
                    yield entry

    def _belongs(self, folder: Path) -> bool:
        """Whether a package below the given one is not in a folder that is hidden or built by cargo."""
        return not any(part.startswith(".") or part == "target" for part in folder.relative_to(self.path).parts)

    def _documents(self) -> Iterator[Document]:
        for crate in self.crates():
            files = crate.files(self.left_out)
            if not files:
                self.left_out[NO_FILES] += 1
            num_tests = count_tests(files)
            for path in files:
                code = read_text(path, self.left_out)
                if code is not None:
                    within = path.relative_to(crate.folder).as_posix()
                    yield Document.of(
                        self.name,
                        f"{crate.key}/{within}",
                        FILE,
                        crate.license_of(within),
                        code,
                        edition=crate.edition,
                        crate=crate.key,
                        num_tests=num_tests,
                    )

    def check(self) -> None:
        if not self.path.is_file():
            check_folder("crates", self.path)
        self.left_out.clear()
        if next(self.crates(), None) is None:
            reasons = f" ({self.left_out_in_words()})" if self.left_out else ""
            raise ValueError(f"crates must hold folders with a Cargo.toml or .crate files, got {self.path}{reasons}")

    def identity(self) -> str:
        return files_identity([self.path])
