"""The results that a report is about: one folder for each model, or setting of a model."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.results import Results
from evaluation.results_folder import read_results

DEPTH_SETTINGS = ("num_loops", "exit_at_loop", "exit_threshold")


@dataclass(frozen=True)
class Run:
    """
    Results in one folder, all of one model.

    Attributes:
        name: Path of the folder below that of the report; for the report's own folder the name of the model.
        path: The folder.
        results: In the order of the suites.
    """

    name: str
    path: Path
    results: tuple[Results, ...]


def read_runs(folder: Path) -> list[Run]:
    """
    Read the results in a folder, in its subfolders and in theirs.

    Raises:
        ValueError: There is no folder or no results file, or a .json file is not one.
    """
    if not folder.is_dir():
        raise ValueError(f"RESULTS_DIR must be a folder of results files, got {folder}")
    found = [path.parent for pattern in ("*.json", "*/*.json", "*/*/*.json") for path in folder.glob(pattern)]
    runs = []
    for path in sorted(set(found)):
        results = read_results(path)
        name = path.relative_to(folder).as_posix() if path != folder else model_name(results[0])
        runs.append(Run(name, path, tuple(results)))
    if not runs:
        raise ValueError(f"RESULTS_DIR must be a folder of results files, got {folder}, which has no .json file")
    return runs


def model_name(results: Results) -> str:
    """Return the short name of the model: the last part of its path, or the whole address of a server."""
    path = str(results.model["path"])
    return path if "://" in path else Path(path).name or path


def depth_settings(results: Results) -> Mapping[str, Any]:
    """Return the depth that results were measured at: as asked for, or else as the model's configuration says."""
    asked = {name: results.settings.get(name) for name in DEPTH_SETTINGS}
    found = dict(asked)
    if asked["exit_at_loop"] is None and asked["exit_threshold"] is None:
        found |= {name: results.model.get(name) for name in ("exit_at_loop", "exit_threshold")}
    found["num_loops"] = asked["num_loops"] or results.model.get("num_loops")
    return found


def maximum_loops(results: Results) -> int | None:
    """Return the most loops that a token can take; None for a model without loops."""
    settings = depth_settings(results)
    return settings["exit_at_loop"] or settings["num_loops"]


def mean_loops(results: Results) -> float | None:
    """Return the loops per token: fixed, or as measured with early exit; None if they are not known."""
    threshold = depth_settings(results)["exit_threshold"]
    if threshold is not None and threshold < 1:
        details = results.details
        return details["decoded"]["mean_loops"] if "decoded" in details else details.get("mean_loops")
    return maximum_loops(results)
