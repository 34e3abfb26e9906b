"""
Warm crates: the dependencies of a crate are compiled once, so that its unit tests can be compiled by rustc alone.

cargo builds the unit tests in the sandbox, with the crate's build script and those of its dependencies. Its last call
of rustc is parsed from its output, and the compiled dependencies leave the sandbox as an archive. Both come from
foreign code and are only ever used inside of the sandbox again: the program of the call is replaced by our compiler,
only known options are kept, and of the archive only plain files below two folders.
"""

import io
import json
import re
import shlex
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath

from evaluation.rust.crates.holes.dispatch import as_archive
from evaluation.rust.crates.holes.manifest_for_tests import manifest_for_tests
from evaluation.rust.crates.manifest import CratePackage
from evaluation.rust.crates.vendor import VendoredCrates
from evaluation.rust.rustc.toolchain import Toolchain
from evaluation.rust.sandbox.runner import Command, Completed, Limits, Sandbox

FORMAT = 1  # part of the keys: raise it whenever the files of a warm crate change
COMMAND_FILE = "command.json"
LIMITS = Limits(
    wall_seconds=600.0,
    cpu_seconds=300,
    memory_bytes=8 << 30,
    file_bytes=512 << 20,
    disk_bytes=3 << 30,
    processes=256,
    open_files=1024,
    output_bytes=768 << 20,
)
KEPT_FILES = re.compile(r"deps/[^/]+\.(?:rlib|rmeta|so)|build/[^/]+/out/.+")
RUNNING = re.compile(r"^ +Running `", re.MULTILINE)
# Names of variables that cargo sets for rustc. A build script may set any other one, except those of the linker.
REFUSED_VARIABLES = re.compile(r"LD_.*|RUSTC_.*|PATH|HOME|TMPDIR|CARGO")


@dataclass(frozen=True)
class WarmCrate:
    """A crate whose unit tests can be compiled by a single call of rustc."""

    package: CratePackage
    source: Path
    """Folder of its source that the sandbox can read."""
    features: tuple[str, ...]
    folder: Path
    """Folder of its compiled dependencies."""
    arguments: tuple[str, ...]
    """Arguments of rustc about the crate: its name and edition, conditions, dependencies and libraries."""
    environment: dict[str, str]
    """Variables that cargo sets when it compiles and runs the tests."""
    key: str
    """Hash of everything that it was made from."""


class NotBuilt(Exception):
    """The unit tests of a crate cannot be built; the message has the first error."""


class WarmCrates:
    """
    Make warm crates, or read those that were made before.

    Args:
        crates: The folder of crate sources.
        staged: Folder that `VendoredCrates.stage` has filled.
        folder: Where to keep compiled dependencies.
        toolchain: The compiler.
        sandbox: It must be able to read all three folders.
    """

    def __init__(self, crates: VendoredCrates, staged: Path, folder: Path, toolchain: Toolchain, sandbox: Sandbox):
        self.crates = crates
        self.staged = staged
        self.folder = folder
        self.toolchain = toolchain
        self.sandbox = sandbox
        folder.mkdir(parents=True, exist_ok=True)

    def warm(self, package: CratePackage) -> WarmCrate:
        """
        Return a warm crate.

        Raises:
            NotBuilt: Its unit tests cannot be built from the folder of crates.
            SandboxFailure: The sandbox failed.
        """
        if not package.has_library or package.is_proc_macro:
            raise NotBuilt("it has no library" if not package.has_library else "it is a procedural macro")
        try:
            manifest, features = manifest_for_tests(package, self.crates)
        except ValueError as error:
            raise NotBuilt(str(error)) from error
        key = self._key(package, manifest)
        folder = self.folder / f"{package.id}-{key[:16]}"
        if not (folder / COMMAND_FILE).is_file():
            self._make(package, features, manifest, folder)
        saved = json.loads((folder / COMMAND_FILE).read_text(encoding="utf-8"))
        if "problem" in saved:
            raise NotBuilt(saved["problem"])
        # The folders may have been moved since.
        source = self._source(package)
        places = {"{source}": str(source), "{warm}": str(folder)}
        arguments = tuple(_replaced(text, places) for text in saved["arguments"])
        environment = {name: _replaced(text, places) for name, text in saved["environment"].items()}
        return WarmCrate(package, source, features, folder, arguments, environment, key)

    def _source(self, package: CratePackage) -> Path:
        """Return the crate's own folder, unless it was copied because the sandbox cannot read it."""
        staged = self.staged / package.id
        links = {path for path in staged.iterdir() if path.is_symlink()}
        linked = any(path.readlink() == package.folder / path.name for path in links)
        return package.folder if linked else staged

    def _key(self, package: CratePackage, manifest: str) -> str:
        hashes = [self.crates.content_hash(each) for each in (package, *self.crates.closure(package))]
        return sha256(json.dumps([FORMAT, self.toolchain.identity, manifest, hashes]).encode()).hexdigest()

    def _make(self, package: CratePackage, features: Sequence[str], manifest: str, folder: Path) -> None:
        results = self._build(package, features, manifest)
        temporary = Path(tempfile.mkdtemp(prefix=".making-", dir=self.folder))
        try:
            temporary.chmod(0o755)
            saved = self._read(package, results, temporary)
            (temporary / COMMAND_FILE).write_text(json.dumps(saved, sort_keys=True), encoding="utf-8")
            if not folder.exists():
                temporary.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _build(self, package: CratePackage, features: Sequence[str], manifest: str) -> list[Completed]:
        cargo, environment = cargo_test(self.toolchain, self.staged, features)
        tar = "exec tar -cf - --exclude='*.d' --exclude='build[-_]script*' deps build"
        pack = f"mkdir -p target/debug/build target/debug/deps && cd target/debug && {tar}"
        commands = [
            Command(["/bin/cp", "-r", str(self._source(package)), "{directory}/crate"]),
            # Its lock file would name crates that are not in the folder.
            Command(["/bin/rm", "-rf", "crate/Cargo.lock", "crate/.cargo", "crate/rust-toolchain"]),
            Command(["/bin/chmod", "-R", "u+w", "crate"]),
            Command(["/bin/tar", "-xf", "manifest.tar", "-C", "crate"]),
            # The tests themselves may need crates that are not there; `testable.py` removes those.
            Command(["/bin/sh", "-c", '"$@" || true', "cargo", *cargo, "--no-run", "-vv"], environment),
            Command(["/bin/sh", "-c", pack]),
        ]
        return self.sandbox.run({"manifest.tar": as_archive({"Cargo.toml": manifest.encode()})}, commands, LIMITS)

    def _read(self, package: CratePackage, results: list[Completed], folder: Path) -> dict:
        """Return what is saved of a build, after writing its files into a folder."""
        built = results[-1]
        if len(results) < 6 or built.status != 0:
            return {"problem": _problem(built)}
        call = _call_of_tests(results[-2].stderr.decode("utf-8", "replace"), package.library_name)
        if call is None:
            return {"problem": _problem(results[-2])}
        environment, arguments = call
        source = environment.get("CARGO_MANIFEST_DIR", "")
        if not source.endswith("/crate"):
            return {"problem": "cargo did not set CARGO_MANIFEST_DIR"}
        places = {f"{source.removesuffix('/crate')}/target/debug": "{warm}", source: "{source}"}
        _unpack(built.stdout, folder)
        kept = {name: value for name, value in environment.items() if not REFUSED_VARIABLES.fullmatch(name)}
        return {
            "arguments": [_replaced(text, places) for text in arguments],
            "environment": {name: _replaced(value, places) for name, value in kept.items()},
        }


def cargo_test(toolchain: Toolchain, staged: Path, features: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Return the command that builds and runs the unit tests of `{directory}/crate`, and its environment."""
    command = [
        f"{toolchain.sysroot}/bin/cargo",
        "test",
        "--lib",
        "--offline",
        "--jobs=2",
        "--no-default-features",
        f"--features={','.join(features)}",
        "--manifest-path={directory}/crate/Cargo.toml",
        "--target-dir={directory}/target",
        "--config=source.crates-io.replace-with='vendored'",
        f"--config=source.vendored.directory={json.dumps(str(staged))}",
    ]
    environment = toolchain.environment | {
        "RUSTC": toolchain.rustc,
        "CARGO_INCREMENTAL": "0",
        "CARGO_PROFILE_DEV_DEBUG": "0",
        "CARGO_PROFILE_TEST_DEBUG": "0",
        "CARGO_TERM_COLOR": "never",
        # Lints are no errors, which they may have become with a newer compiler than the crate knows.
        "RUSTFLAGS": "-A warnings --cap-lints warn",
    }
    return command, environment


def _replaced(text: str, places: dict[str, str]) -> str:
    for place, other in places.items():
        text = text.replace(place, other)
    return text


def _problem(completed: Completed) -> str:
    """Return the first error that cargo printed, in one line."""
    if completed.ended_by != "exit":
        return f"building its tests ended by {completed.ended_by}"
    lines = completed.stderr.decode("utf-8", "replace").splitlines()
    errors = [line.strip() for line in lines if line.startswith("error")]
    return (errors or ["cargo built no unit tests of its library"])[0][:300]


def _call_of_tests(printed: str, crate: str) -> tuple[dict[str, str], list[str]] | None:
    """Return environment and arguments of the call of rustc for the unit tests in the output of `cargo -vv`."""
    for start in reversed(list(RUNNING.finditer(printed))):
        words = list(_words(printed[start.end() :]))
        if "--test" not in words or f"--crate-name {crate} " not in " ".join(words):
            continue
        environment = {}
        while words and re.match(r"\w+=", words[0]):
            name, _, value = words.pop(0).partition("=")
            environment[name] = value
        return environment, _kept_arguments(words[1:])
    return None


def _words(text: str) -> Iterator[str]:
    """Yield the words of a shell command up to the backtick after it. Words in quotes may have backticks and lines."""
    reader = shlex.shlex(text, posix=True)
    reader.whitespace_split, reader.commenters = True, ""
    try:
        for word in reader:
            if word.endswith("`"):
                yield word.removesuffix("`")
                return
            yield word
    except ValueError:
        return  # a quote that is not closed


def _kept_arguments(words: Sequence[str]) -> list[str]:
    """Return the arguments that are about the crate."""
    kept: list[str] = []
    waiting = iter(words)
    for word in waiting:
        if word in ("--cfg", "--extern", "-L", "-l", "--crate-name"):
            kept += [word, next(waiting, "")]
        elif word == "-C":
            option = next(waiting, "")
            if option.startswith(("link-arg=", "link-args=", "target-feature=")):
                kept += [word, option]
        elif word.startswith("--edition="):
            kept.append(word)
        elif word in ("--check-cfg", "--out-dir", "--cap-lints", "--error-format", "--json", "--emit"):
            next(waiting, "")
    return kept


def _unpack(archive: bytes, folder: Path) -> None:
    """Write the plain files of an archive that may be hostile; links and all other entries are left out."""
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as entries:
        for entry in entries:
            path = PurePosixPath(entry.name)
            if not entry.isreg() or ".." in path.parts or not KEPT_FILES.fullmatch(entry.name):
                continue
            content = entries.extractfile(entry)
            assert content is not None, "a plain file has a content"
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content.read())
