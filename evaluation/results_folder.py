"""The folder of an evaluation: one results file per suite, all of one model."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import PreTrainedModel

from evaluation.models.digest import WeightsDigest, differing_digests
from evaluation.models.served_model import ServedModel
from evaluation.results import Results
from evaluation.suites.registry import suite_classes
from modeling_nanochat import is_looplm

DEPTH = ("num_loops", "exit_at_loop", "exit_threshold")
"""Fields of a model's description that a user varies to compare depths of one model."""


@dataclass(frozen=True)
class ResultsFolder:
    """
    Where results are written, with what all results of one evaluation have in common.

    Attributes:
        path: The folder.
        model: Description of the model, see `describe`.
        command: Command that makes the results again.
    """

    path: Path
    model: Mapping[str, Any]
    command: str = ""

    def check(self, benchmarks: Iterable[str]) -> None:
        """
        Raise `ValueError` if the folder holds results of these benchmarks of another model or of another depth, or
        results of any suite of other weights of this model.
        """
        names = {*benchmarks}
        for name in sorted(names | {suite.benchmark for suite in suite_classes()}):
            path = self.path / f"{name}.json"
            if not path.exists():
                continue
            there = Results.read(path).model
            if name in names and there.get("path") != self.model["path"]:
                raise ValueError(
                    f"{path} holds the results of {there.get('path')}, which those of {self.model['path']} would "
                    "replace: choose another folder with --output-dir"
                )
            differing = [name for name in DEPTH if there.get(name) != self.model.get(name)]
            if name in names and differing:
                words = ", ".join(f"{each} {there.get(each)} instead of {self.model.get(each)}" for each in differing)
                raise ValueError(
                    f"{path} holds results of {self.model['path']} with {words}, which would be replaced: choose "
                    "another folder with --output-dir"
                )
            if differing_digests(there, self.model):
                raise ValueError(
                    f"{path} holds the results of other weights of {self.model['path']}, which has changed since "
                    f"(SHA-256 {there['digest']}, now {self.model['digest']}): choose another folder with "
                    f"--output-dir, or delete {self.path}"
                )

    def write(self, found: Results, started: float) -> Results:
        """Write results with their context; `started` is the time of `time.perf_counter` when they were begun."""
        libraries = {"torch": torch.__version__, "transformers": transformers.__version__}
        results = replace(
            found,
            model=self.model,
            versions=libraries | dict(found.versions),
            command=self.command,
            seconds=time.perf_counter() - started,
        )
        results.write(self.path)
        return results


def read_results(folder: Path) -> list[Results]:
    """
    Read all results files of a folder, in the order of the suites.

    Raises:
        ValueError: The folder does not exist or has no results files, or one of them cannot be read.
    """
    if not folder.is_dir():
        raise ValueError(f"RESULTS_DIR must be a folder of results files, got {folder}")
    results = [Results.read(path) for path in Results.files(folder)]
    if not results:
        raise ValueError(f"RESULTS_DIR must be a folder of results files, got {folder}, which has none")
    suites = suite_classes()

    def place(found: Results) -> int:
        return next((index for index, each in enumerate(suites) if each.wrote(found.benchmark)), len(suites))

    return sorted(results, key=place)


def describe_served(model: ServedModel) -> dict[str, Any]:
    """Return the description of a served model that its results keep."""
    return {"path": model.name, **model.describe(), "digest": model.digest, "digest_of": model.digest_of}


def describe(model: PreTrainedModel, path: str, digest: WeightsDigest | None = None) -> dict[str, Any]:
    """
    Return the description of a model that its results keep: path, type, number of parameters, depth, digest of the
    weights; None without one.
    """
    found: dict[str, Any] = {
        "path": path,
        "model_type": model.config.model_type,
        "parameters": model.num_parameters(),
    }
    if digest is not None:
        found |= {"digest": digest.sha256, "digest_of": digest.of}
    if is_looplm(model.config):
        names = ("num_loops", "num_shared_layers", "num_prelude_layers", "num_coda_layers", "loop_update")
        names += ("exit_at_loop", "exit_threshold", "kv_reuse")
        # The class of a published model may be older than some of these fields.
        found |= {name: value for name, value in vars(model.config).items() if name in names}
    return found
