"""The folders of a published model from which its training and its results can be made again."""

import io
import json
import re
import shutil
import zipfile
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from evaluation.public_paths import without_folders
from evaluation.results import Results
from model_cards.card.results import commands
from model_cards.card.run_record import PREPARE, RunRecord
from model_cards.snapshot.recorded import RecordedCode
from model_cards.snapshot.source import REQUIREMENTS, project_version, write_archive
from runtime.build import FOLDER, SOURCES

TRAINING_CODE, DATA_PREPROCESSING, EVALUATION_SCRIPTS = "training_code", "data_preprocessing", "evaluation_scripts"
DOCKERFILE, README = "Dockerfile", "README.md"
RUNTIME = "runtime"
CRATE_FILES = ("Cargo.toml", "Cargo.lock")
NOT_RECORDED = (
    "The run that trained this model did not record its code. This is the code that published it, version {version}, "
    "which may differ from it."
)


def write_snapshot(target: Path, model_folder: Path, results: Sequence[Results], repo: str) -> None:
    """
    Write the code that trained a model, the settings and records of its data, the commands that evaluated it,
    `requirements.txt`, a Dockerfile, the examples, and the crate that runs the model in Rust into its repository.

    Args:
        target: Folder of the repository.
        model_folder: Where the model is saved.
        results: Its results.
        repo: "user/name" on the Hub.

    Raises:
        ValueError: A file of the run is damaged.
    """
    run = RunRecord.of_model(model_folder)
    _write_code(target, run)
    _write_data(target / DATA_PREPROCESSING, run)
    _write_evaluation(target / EVALUATION_SCRIPTS, results, repo)
    (target / DOCKERFILE).write_text(dockerfile((target / REQUIREMENTS).read_text()), encoding="utf-8")
    shutil.copytree(examples_folder(), target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__*__*"))
    _write_crate(target / RUNTIME)


def examples_folder() -> Path:
    """Return the folder of the notebook and the Rust programs that are published with every model."""
    return Path(str(files("model_cards") / "examples"))


def _write_crate(folder: Path) -> None:
    # The installed crate, which runs the model, also where the model was trained by code that had none.
    shutil.copytree(SOURCES, folder / SOURCES.name)
    for name in CRATE_FILES:
        shutil.copy(FOLDER / name, folder / name)


def dockerfile(requirements: str) -> str:
    """
    Return the Dockerfile with the versions of Python and rustc from the comments of `requirements.txt`.

    A machine without rustc has no version in them; the image then has the newest.
    """
    template = (files("model_cards") / "snapshot" / DOCKERFILE).read_text(encoding="utf-8")
    python, rust = (
        re.search(r"^# Python (\d+\.\d+)", requirements, re.M),
        re.search(r"^# rustc (\d+\.\d+\.\d+)", requirements, re.M),
    )
    assert python is not None, "requirements.txt names its version of Python"
    return template.replace("{python}", python[1]).replace("{rust}", "stable" if rust is None else rust[1])


def trained_code(run: RunRecord | None) -> Path | None:
    """Return the archive of the code that a run's last stage was trained with; None if it was not recorded."""
    if run is None or not run.stages:
        return None
    recorded = RecordedCode.of_run(run.prepared.parent)
    return None if recorded is None else recorded.archive(run.stages[-1].name)


def _write_code(target: Path, run: RunRecord | None) -> None:
    folder = target / TRAINING_CODE
    archive = trained_code(run)
    content = io.BytesIO()
    if archive is None:
        write_archive(content)
    else:
        content.write(archive.read_bytes())
    content.seek(0)
    with zipfile.ZipFile(content) as opened:
        opened.extractall(folder)
    (folder / REQUIREMENTS).rename(target / REQUIREMENTS)
    if run is not None:
        _write_json(folder / "recipe.json", run.public_recipe)
    (folder / README).write_text(_about_code(run, archive), encoding="utf-8")


def _about_code(run: RunRecord | None, archive: Path | None) -> str:
    parts = ["# Code that trained this model"]
    if run is None or archive is None:
        parts.append(NOT_RECORDED.format(version=project_version()))
    else:
        recorded = RecordedCode.of_run(run.prepared.parent)
        assert recorded is not None, "there is an archive"
        parts.append(f"These are the source files with the SHA-256 `{archive.stem}` over their names and contents.")
        rows = ["| stage | code |", "| --- | --- |"]
        for name in (PREPARE, *(stage.name for stage in run.stages)):
            digests = recorded.stages.get(name, ())
            words = ", then ".join("this" if each == archive.stem else f"other, `{each}`" for each in digests)
            rows.append(f"| {name} | {words or 'not recorded'} |")
        parts.append("\n".join(rows))
    parts.append(
        f"It is installed, with the versions of the libraries that are named beside it, by\n\n```bash\npip install -r "
        f"{REQUIREMENTS}\npip install --no-deps ./{TRAINING_CODE}\n```\n\nin the folder above, which `{DOCKERFILE}` "
        "does in a container. The command is then `nanochat-ternary`."
    )
    if run is not None:
        parts.append("`recipe.json` has the settings of the run: `nanochat-ternary train --help` explains them.")
    return "\n\n".join(parts) + "\n"


def _write_data(folder: Path, run: RunRecord | None) -> None:
    folder.mkdir()
    words = ["# Data that this model was trained on"]
    code = f"The code that prepares data is `../{TRAINING_CODE}/trainers/data`"
    if run is None:
        words.append(f"The data were not recorded. {code}.")
    else:
        _write_json(folder / "data.json", run.public_recipe["data"])
        words.append(f"`data.json` has the settings. {code}; `nanochat-ternary train` runs it before the training.")
        records = _records(run.prepared)
        for name, path in records.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            _write_json(folder / name, without_folders(json.loads(path.read_text(encoding="utf-8"))))
        if records:
            words.append("The preparation recorded these counts, verdicts and shares: " + ", ".join(records) + ".")
    (folder / README).write_text("\n\n".join(words) + "\n", encoding="utf-8")


def _records(prepared: Path) -> dict[str, Path]:
    """The reports of a preparation by their names in the repository, without the data."""
    places = [prepared / "finished.json", prepared / "verification.json", prepared / "corpus" / "report.json"]
    places += sorted(prepared.glob("*/manifest.json"))
    return {path.relative_to(prepared).as_posix(): path for path in places if path.is_file()}


def _write_evaluation(folder: Path, results: Sequence[Results], repo: str) -> None:
    folder.mkdir()
    about = f"# Commands that evaluated this model\n\nThe code of the suites is `../{TRAINING_CODE}/evaluation`."
    found = commands(results, repo)
    if found:
        script = "\n".join(["#!/bin/sh", "# Each command makes one of the results files in the folder above.", *found])
        (folder / "evaluate.sh").write_text(script + "\n", encoding="utf-8")
        about += " `evaluate.sh` has the commands. Those that run programs need `HF_ALLOW_CODE_EVAL=1`."
    else:
        about += " No results were published."
    (folder / README).write_text(about + "\n", encoding="utf-8")


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
