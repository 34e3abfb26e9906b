"""What cargo and the compilers it starts say: JSON on stdout, words on stderr."""

import json
import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from evaluation.rust.rustc.semantics import category
from evaluation.rust.sandbox.runner import Completed
from evaluation.rust.verdict import Diagnostic

LIBRARY_KINDS = {"lib", "rlib", "dylib", "cdylib", "staticlib", "proc-macro"}
PACKAGE_ID = re.compile(r"#(?:([^@]+)@)?([^@]+)$")
FAILED_SCRIPT = re.compile(r"error: failed to run custom build command for `(\S+) v([^`\s]+)")
FAILED_CRATE = re.compile(r"error: could not compile `([^`]+)`")
SIGNAL = re.compile(r"^\s*process didn't exit successfully: .*\(signal: (\d+)", re.MULTILINE)
COMMAND = re.compile(r"process didn't exit successfully: `.*?` \(")
INSTRUCTION = re.compile(r"^ *cargo::?(?!warning|error).*\n", re.MULTILINE)  # of build scripts to cargo
MAX_DIAGNOSTICS = 20
MAX_RENDERED = 4000


@dataclass(frozen=True)
class Message:
    """One error or warning of a compiler."""

    crate: str
    """Name and version of the crate, such as `serde-1.0.152`."""
    library: bool
    """Whether it is about the crate's library rather than its build script."""
    level: str
    diagnostic: Diagnostic


@dataclass(frozen=True)
class Artifact:
    """A library that compiled."""

    crate: str
    features: tuple[str, ...]
    """The features it was compiled with."""
    stem: str
    """File name of its dep-info without `.d`, such as `serde-0123456789abcdef`."""


@dataclass(frozen=True)
class CargoMessages:
    """The messages of one call of cargo."""

    artifacts: tuple[Artifact, ...]
    messages: tuple[Message, ...]
    failed_script: str | None
    """Crate whose build script failed."""
    failed_crate: str | None
    """Name of the crate that did not compile, if cargo named one."""
    signal: int | None
    """Signal that ended a compiler or a build script."""
    stderr: str

    @property
    def reason(self) -> str:
        """Return cargo's first own error, without the commands it called and their
        instructions, in at most 2000 characters."""
        first = re.search(r"^error: ", self.stderr, re.MULTILINE)
        text = self.stderr[first.start() :] if first else self.stderr[-2000:]
        text = COMMAND.sub("process didn't exit successfully (", text)
        return INSTRUCTION.sub("", text).strip()[:2000]


def crate_of(package_id: str) -> str:
    """Return name and version of a package by cargo's identifier, such as `registry+https://...#serde@1.0.152`."""
    match = PACKAGE_ID.search(package_id)
    if match is None:
        return package_id
    name = match[1] or PurePosixPath(package_id.partition("#")[0]).name
    return f"{name}-{match[2]}"


def read_messages(completed: Completed) -> CargoMessages:
    """Return the messages of a call of `cargo ... -vv --message-format=json`."""
    artifacts, messages = [], []
    for line in completed.stdout.split(b"\n"):
        try:
            fields = json.loads(line)
        except ValueError:
            continue  # cut off at the limit of the output
        if not isinstance(fields, dict):
            continue
        kinds = set(fields.get("target", {}).get("kind", ()))
        if fields.get("reason") == "compiler-artifact" and kinds & LIBRARY_KINDS:
            artifacts.append(_artifact(fields))
        elif fields.get("reason") == "compiler-message":
            message = fields["message"]
            if not message["message"].startswith("aborting due to"):
                library = bool(kinds & LIBRARY_KINDS)
                messages.append(
                    Message(crate_of(fields["package_id"]), library, message["level"], _diagnostic(message))
                )
    stderr = completed.stderr.decode("utf-8", "replace")
    script, crate, signal = FAILED_SCRIPT.search(stderr), FAILED_CRATE.search(stderr), SIGNAL.search(stderr)
    return CargoMessages(
        artifacts=tuple(artifacts),
        messages=tuple(messages),
        failed_script=f"{script[1]}-{script[2]}" if script else None,
        failed_crate=crate[1] if crate else None,
        signal=int(signal[1]) if signal else None,
        stderr=stderr,
    )


def _artifact(fields: dict) -> Artifact:
    # The file of a library is libNAME-HASH.rmeta or libNAME-HASH.so, and its dep-info is NAME-HASH.d.
    names = [PurePosixPath(name).name for name in fields["filenames"]]
    stem = names[0].partition(".")[0].removeprefix("lib") if names else ""
    return Artifact(crate_of(fields["package_id"]), tuple(fields["features"]), stem)


def _diagnostic(message: dict) -> Diagnostic:
    code = message["code"]["code"] if message["code"] else None
    rendered = message["rendered"] or ""
    span = next((span for span in message["spans"] if span["is_primary"]), None)
    while span is not None and span["expansion"] is not None:
        span = span["expansion"]["span"]
    return Diagnostic(
        code,
        category(code, message["message"], rendered),
        message["message"],
        span["line_start"] if span else None,
        span["column_start"] if span else None,
        rendered[:MAX_RENDERED],
    )


def files_of(dep_info: str, stem: str) -> list[str]:
    """
    Return the files that a dep-info names as read for a library.

    Args:
        dep_info: Contents of one or more dep-info files.
        stem: Which of them, see `Artifact.stem`.
    """
    # In make's syntax: `target/debug/deps/NAME-HASH.d: FILE FILE ...`, with `\ ` for a space.
    start = re.search(rf"^\S*/{re.escape(stem)}\.d: ?(.*)$", dep_info, re.MULTILINE)
    if start is None:
        return []
    return [name.replace("\\ ", " ") for name in re.split(r"(?<!\\) ", start[1]) if name]
