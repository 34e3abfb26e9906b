"""Verdicts on the crates of all sources, each checked as a whole against the folder that it lies in."""

from collections.abc import Container, Sequence
from pathlib import Path
from typing import Any

from evaluation.rust.crates.crate_verifier import CrateVerifier
from evaluation.rust.crates.vendor import VendoredCrates
from trainers.data.sources import Source
from trainers.data.sources.crates import CrateSource
from trainers.data.sources.documentation import CrateExampleSource


def check_crates(
    sources: Sequence[Source], names: Container[str], cache_dir: Path, num_workers: int, progress: bool
) -> dict[str, dict[str, Any]]:
    """
    Check the crates of the sources that are folders of crates with their dependencies.

    Args:
        sources: Of any kind. Sources of single crates and of `.crate` archives have no dependencies beside them and
            are not checked.
        names: Names and versions of the crates that have documents; no others are checked.
        cache_dir: Folder that keeps verdicts, so that an interrupted call is continued.
        num_workers: Number of calls of cargo at the same time.
        progress: Show a progress bar.

    Returns:
        For each crate, by name and version, its status, the reason, edition, features, and the files that the compiler
        read, as JSON values.

    Raises:
        CodeExecutionNotAllowed: Build scripts would run, without `HF_ALLOW_CODE_EVAL=1`.
    """
    found: dict[str, dict[str, Any]] = {}
    for folder in vendored_folders(sources):
        vendored = VendoredCrates(folder)
        with CrateVerifier(vendored, cache_dir, workers=num_workers) as verifier:
            wanted = [package for package in vendored if package.id in names]
            for verdict in verifier.verify(wanted, progress):
                found.setdefault(
                    verdict.crate,
                    {
                        "status": verdict.status,
                        "reason": verdict.reason,
                        "edition": verdict.edition,
                        "features": list(verdict.features),
                        "files": sorted(verdict.files),
                    },
                )
    return dict(sorted(found.items()))


def vendored_folders(sources: Sequence[Source]) -> list[Path]:
    """Return the folders that hold crates beside their dependencies, each once."""
    folders: list[Path] = []
    for source in sources:
        crates = source.crates if isinstance(source, CrateExampleSource) else source
        folder = crates.vendored_folder() if isinstance(crates, CrateSource) else None
        if folder is not None:
            folders.append(folder)
    return list(dict.fromkeys(folders))
