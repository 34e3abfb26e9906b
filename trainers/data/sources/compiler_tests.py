"""
The tests of the Rust compiler, from a checkout of rust-lang/rust or a tarball of its sources.

The comments at the head of a test say how it is compiled and whether it should be accepted
(https://rustc-dev-guide.rust-lang.org/tests/directives.html): `//@ check-pass`, or `// check-pass` before 2024.
"""

import re
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from lzma import LZMAError
from pathlib import Path, PurePosixPath

from trainers.data.sources.crate import FIRST_EDITION, count_tests_in
from trainers.data.sources.document import COMPILE_FAIL, FILE, Document
from trainers.data.sources.documentation import UNSTABLE, needs_unstable
from trainers.data.sources.source import (
    MAX_BYTES,
    TOO_LARGE,
    UNREADABLE,
    Source,
    check_folder,
    files_identity,
    read_text,
)
from trainers.data.sources.toolchain import TOOLCHAIN_LICENSE

TEST_FOLDERS = ("tests/ui", "src/test/ui", "tests/run-make", "src/test/run-make")

AUXILIARY = "that need auxiliary crates"
FLAGS = "that need compiler flags or variables"
REVISIONS = "that are compiled in several ways (revisions)"
PLATFORM = "that are for some platforms or are ignored"
OTHER_FILES = "that include other files"
KNOWN_BUG = "that are known bugs of the compiler"
DRIVER = "that drive the build of other files (rmake.rs)"

_DIRECTIVE = re.compile(r"^\s*//(@?)\s*(?:\[[^\]]*\]\s*)?([a-z][a-z0-9-]*)(?::\s*(.*?))?\s*$")
_ERROR = re.compile(r"//(?:\[[^\]]*\])?~[\^v|?]*\s*(?:ERROR|error)\b")
_MODULE_FILE = re.compile(r"^\s*(?:pub(?:\([^)]*\))?\s+)?mod\s+\w+\s*;", re.MULTILINE)
_INCLUDE = re.compile(r"\b(?:include|include_str|include_bytes|env|option_env)!\s*[(\[{]|#!?\[\s*path\s*=")
_EDITION_FLAG = re.compile(r"\s*--edition[= ](\d{4})\s*")
_EDITION = re.compile(r"(\d{4})(?:\.\..*)?")
_PASSES = {"check-pass", "build-pass", "run-pass", "run-fail", "run-crash", "run-fail-or-crash"}
_FAILS = {"check-fail", "build-fail", "compile-fail"}
_REASONS = {
    "aux-build": AUXILIARY,
    "aux-crate": AUXILIARY,
    "aux-bin": AUXILIARY,
    "aux-codegen-backend": AUXILIARY,
    "proc-macro": AUXILIARY,
    "revisions": REVISIONS,
    "incremental": FLAGS,
    "rustc-env": FLAGS,
    "unset-rustc-env": FLAGS,
    "exec-env": FLAGS,
    "unset-exec-env": FLAGS,
    "run-flags": FLAGS,
    "known-bug": KNOWN_BUG,
    "should-ice": KNOWN_BUG,
    "failure-status": KNOWN_BUG,
}
# Satisfied wherever programs run.
_HARMLESS_NEEDS = {"needs-unwind", "needs-threads", "needs-subprocess", "needs-run-enabled"}
# For other ways to test, and for checks of the style.
_HARMLESS_IGNORES = ("ignore-compare-mode-", "ignore-pass", "ignore-tidy-", "ignore-coverage-")


@dataclass(frozen=True)
class Directives:
    """
    What the comments of a test say.

    Attributes:
        edition: To compile it in.
        accepted: Whether the compiler should accept it.
        reason: Why it cannot be compiled alone by a stable compiler, or None.
    """

    edition: str
    accepted: bool
    reason: str | None


def read_directives(code: str, is_ui: bool = True) -> Directives:
    """
    Return what the comments of a test say.

    Args:
        code: The test.
        is_ui: Whether it is a user-interface test, which should be rejected unless it says otherwise.
    """
    edition, accepted, reason = FIRST_EDITION, None, None
    has_errors = _ERROR.search(code) is not None
    for line in code.splitlines():
        found = _DIRECTIVE.match(line)
        if not found:
            continue
        marked, name, value = found[1], found[2], found[3]
        # Without the mark, a directive is a comment of one known name.
        if name in _PASSES | _FAILS and value is None:
            accepted = name in _PASSES
        elif name == "edition" and value:
            match = _EDITION.fullmatch(value)
            edition, reason = (match[1], reason) if match else (edition, UNSTABLE)
        elif name == "compile-flags" and value is not None:
            match = _EDITION_FLAG.fullmatch(value)
            edition, reason = (match[1], reason) if match else (edition, reason or FLAGS)
        elif name in _REASONS and (value is not None or marked or name in ("incremental", "should-ice")):
            reason = reason or _REASONS[name]
        elif _is_for_platform(name) and (marked or value is None):
            reason = reason or PLATFORM
    if reason is None:
        if needs_unstable(code):
            reason = UNSTABLE
        elif _MODULE_FILE.search(code) or _INCLUDE.search(code):
            reason = OTHER_FILES
    if accepted is None:
        accepted = not (is_ui or has_errors)
    return Directives(edition, accepted, reason)


def _is_for_platform(name: str) -> bool:
    if name.startswith("ignore-"):
        return not name.startswith(_HARMLESS_IGNORES)
    return name.startswith("only-") or (name.startswith("needs-") and name not in _HARMLESS_NEEDS)


class CompilerTestSource(Source):
    """
    The compiler's tests that are one file and need no nightly feature, in the folders of `TEST_FOLDERS`. Those that
    the compiler should reject are of the kind `COMPILE_FAIL`.

    Args:
        path: Folder of a checkout, or a .tar.gz or .tar.xz file with one.
    """

    kind = "compiler-tests"

    def __init__(self, path: Path):
        super().__init__(self.kind)
        self.path = path

    def _documents(self) -> Iterator[Document]:
        for path, code in self._tests():
            if PurePosixPath(path).name == "rmake.rs":
                self.left_out[DRIVER] += 1
                continue
            directives = read_directives(code, is_ui="/ui/" in path)
            if directives.reason is not None:
                self.left_out[directives.reason] += 1
                continue
            yield Document.of(
                self.name,
                path,
                FILE if directives.accepted else COMPILE_FAIL,
                TOOLCHAIN_LICENSE,
                code,
                edition=directives.edition,
                num_tests=count_tests_in(code),
            )

    def _tests(self) -> Iterator[tuple[str, str]]:
        """Yield path and text of the .rs files in the folders of tests, without auxiliary crates."""
        if self.path.is_file():
            yield from self._archived()
            return
        for folder in TEST_FOLDERS:
            for path in sorted((self.path / folder).rglob("*.rs")):
                relative = path.relative_to(self.path).as_posix()
                if self._is_test(relative) and path.is_file() and not path.is_symlink():
                    code = read_text(path, self.left_out)
                    if code is not None:
                        yield relative, code

    def _archived(self) -> Iterator[tuple[str, str]]:
        try:
            with tarfile.open(self.path, "r|*") as tar:
                for member in tar:
                    # The folder at the top has the name of the release.
                    relative = member.name.removeprefix("./").partition("/")[2]
                    if not relative.startswith(TEST_FOLDERS):
                        relative = member.name.removeprefix("./")
                    if not (member.isreg() and relative.endswith(".rs") and self._is_test(relative)):
                        continue
                    if member.size > MAX_BYTES:
                        self.left_out[TOO_LARGE] += 1
                        continue
                    file = tar.extractfile(member)
                    assert file is not None, "the member is a regular file"
                    try:
                        yield relative, file.read().decode()
                    except UnicodeDecodeError:
                        self.left_out[UNREADABLE] += 1
        except (tarfile.TarError, zlib.error, LZMAError, EOFError) as error:
            raise ValueError(f"compiler-tests must be a folder, a .tar.gz or a .tar.xz, got {self.path}") from error

    def _is_test(self, relative: str) -> bool:
        inside = any(relative.startswith(f"{folder}/") for folder in TEST_FOLDERS)
        if inside and "/auxiliary/" in relative:
            self.left_out[AUXILIARY] += 1
            return False
        return inside

    def check(self) -> None:
        if not self.path.is_file():
            check_folder("compiler-tests", self.path)
            if not any((self.path / folder).is_dir() for folder in TEST_FOLDERS):
                wanted = " or ".join(TEST_FOLDERS)
                raise ValueError(f"compiler-tests must be a checkout of rust-lang/rust with {wanted}, got {self.path}")
        if next(self.read(), None) is None:
            reasons = f" (left out: {self.left_out_in_words()})" if self.left_out else ""
            raise ValueError(f"compiler-tests must hold tests in .rs files, got {self.path} with none{reasons}")

    def identity(self) -> str:
        folders = [self.path / folder for folder in TEST_FOLDERS if (self.path / folder).is_dir()]
        return files_identity(folders or [self.path])
