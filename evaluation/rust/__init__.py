"""The Rust verifier: rustc's verdict on code nobody has read, sandboxed, batched and cached."""

from evaluation.rust.judge.harness import HiddenTests
from evaluation.rust.rustc.toolchain import ToolchainUnavailable
from evaluation.rust.sandbox.runner import CodeExecutionNotAllowed, SandboxUnavailable
from evaluation.rust.verdict import CodeMetadata, Diagnostic, Verdict
from evaluation.rust.verifier import RustVerifier

__all__ = [
    "CodeExecutionNotAllowed",
    "CodeMetadata",
    "Diagnostic",
    "HiddenTests",
    "RustVerifier",
    "SandboxUnavailable",
    "ToolchainUnavailable",
    "Verdict",
]
