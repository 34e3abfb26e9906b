"""Building and running the Rust crate of the runtime."""

import os
import subprocess
from pathlib import Path

from tests.helpers.paths import ROOT

CRATE = ROOT / "runtime"


def run_cargo(target: Path, *arguments: str) -> str:
    """Run cargo without network on the crate, with its output in `target`. Returns what it printed."""
    command = ["cargo", *arguments, "--offline", "--quiet", "--manifest-path", str(CRATE / "Cargo.toml")]
    environment = os.environ | {"CARGO_TARGET_DIR": str(target), "CARGO_INCREMENTAL": "0"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build_example(target: Path, name: str, release: bool = False) -> Path:
    """Build an example of the crate and return its path."""
    run_cargo(target, "build", "--example", name, *(["--release"] if release else []))
    return target / ("release" if release else "debug") / "examples" / name
