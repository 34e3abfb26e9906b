"""The Rust verifier: rustc's verdict on code nobody has read, sandboxed, batched and cached."""

from evaluation.rust.harness import HiddenTests
from evaluation.rust.sandbox import CodeExecutionNotAllowed, SandboxUnavailable
from evaluation.rust.toolchain import ToolchainUnavailable
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
