"""
The Rust verifier: rustc's verdict on untrusted code, sandboxed, batched and cached.

Imports go one way: `verdict` <- `sandbox`, `syntax` <- `rustc` <- `judge` <- `cache`, `arguments`, `verifier` <-
`command_line`. `crates` verifies whole crates with cargo, and uses all but `judge` and `verifier`.
"""

from evaluation.rust.judge.harness import HiddenTests
from evaluation.rust.judge.stdin_tests import StdinCase, StdinTests
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
    "StdinCase",
    "StdinTests",
    "ToolchainUnavailable",
    "Verdict",
]
