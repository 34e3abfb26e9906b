"""The folder of a run: one process at a time works in it, and it remembers its settings."""

import fcntl
import json
import os
import shutil
import socket
import sys
import time
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from evaluation.rust_files import rust_files
from modeling_nanochat import LoopLMConfig
from recipes.pipeline.schema import GATE_STAGE, Recipe
from trainers.typed_settings import annotations

PREPARED = "prepare"
SYNTHETIC_FILE, TASKS_FILE = "synthetic.jsonl", "tasks.jsonl"
SETTINGS_FILE = "recipe.json"
# A new run is prepared here; only when all of it could be done does it take the place of one that is there.
NEXT = "next"
LOCK_FILE = "lock"
# What a run makes in its folder, besides its stages' folders; nothing else there is ever deleted.
RUN_ENTRIES = (PREPARED, SYNTHETIC_FILE, TASKS_FILE, GATE_STAGE, "evaluation", "export", "report.json", "report.html")
# Sections that a continued run may change: they shape nothing that is there already.
FREE_SECTIONS = ("export",)


def as_kept(recipe: Recipe) -> dict[str, dict[str, Any]]:
    """All settings by section, as they are kept in a run's folder."""
    model = {name: value for name, value in recipe.model.to_dict().items() if name != "transformers_version"}
    settings = {"model": model, "data": asdict(recipe.data), "training": asdict(recipe.training)}
    settings |= {"export": asdict(recipe.export)}
    settings |= {f"stages.{stage.name}": asdict(stage) for stage in recipe.later_stages}
    return json.loads(json.dumps(settings, default=str))


def kept_settings(folder: Path) -> dict[str, dict[str, Any]] | None:
    """The settings of the run in a folder, or of one whose preparation was interrupted; None when there is no run."""
    for place in (folder, folder / NEXT):
        try:
            settings = json.loads((place / SETTINGS_FILE).read_text())
        except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
            continue
        if isinstance(settings, dict) and {"model", "data", "training"} <= settings.keys():
            return settings
    return None


def remembered(recipe: Recipe, kept: dict[str, dict[str, Any]]) -> Recipe:
    """
    The recipe with the settings of an earlier run.

    Raises:
        ValueError: The run has other stages than the recipe.
    """
    names = [section.removeprefix("stages.") for section in kept if section.startswith("stages.")]
    present = [stage.name for stage in recipe.later_stages]
    if names != present:
        raise ValueError(
            f"--resume needs a recipe with the stages of the run in {recipe.run_dir}, {', '.join(names) or 'none'} "
            f"after the first, got {', '.join(present) or 'none'}"
        )
    stages = tuple(_restored(stage, kept[f"stages.{stage.name}"]) for stage in recipe.later_stages)
    parts = {name: _restored(getattr(recipe, name), kept.get(name, {})) for name in ("data", "training", "export")}
    model = LoopLMConfig.from_dict(recipe.model.to_dict() | kept["model"])
    return replace(recipe, model=model, later_stages=stages, **parts)


def _restored(settings: Any, kept: dict[str, Any]) -> Any:
    """A part of a recipe with the values that are kept; those of settings that exist no more are left out."""
    types = annotations(type(settings))
    values = {field.name: kept[field.name] for field in fields(settings) if field.name in kept}
    paths = {name: Path(value) for name, value in values.items() if value is not None and "Path" in str(types[name])}
    return replace(settings, **values | paths)


def differences(kept: dict[str, dict[str, Any]], recipe: Recipe) -> list[str]:
    """Settings that a run and a recipe have both, with other values: a line for each with the old and the new one."""
    return [
        f"{section}.{name}: {kept[section][name]!r} in the run, {value!r} now"
        for section, values in as_kept(recipe).items()
        for name, value in values.items()
        if section not in FREE_SECTIONS and name in kept.get(section, {}) and kept[section][name] != value
    ]


def stage_names(recipe: Recipe, kept: dict[str, dict[str, Any]] | None) -> list[str]:
    """Names of the recipe's stages, and of those of the run in its folder."""
    earlier = [name.removeprefix("stages.") for name in kept or {} if name.startswith("stages.")]
    return sorted({stage.name for stage in recipe.stages} | set(earlier))


def has_trained(recipe: Recipe) -> bool:
    """Whether the run in the folder got as far as its first training step."""
    names = stage_names(recipe, kept_settings(recipe.run_dir))
    traces = ("metrics.jsonl", "finished.json")
    return any((recipe.run_dir / name / trace).exists() for name in names for trace in traces)


def must_prepare(recipe: Recipe, resume: bool, overwrite: bool) -> bool:
    """
    Whether a new run is to be prepared in the folder, or what is prepared there is continued. Changes nothing.

    A run that never trained a step claims nothing: one of other settings takes its place without being asked to.

    Raises:
        ValueError: There is a run and neither `resume` nor `overwrite` is set; what is there is no run, or one of
            other settings; the data are missing, or lie where they would be deleted.
    """
    run_dir, data_dir, kept = recipe.run_dir, recipe.data.data_dir, kept_settings(recipe.run_dir)
    if resume and kept is None:
        raise ValueError(f"--resume needs a run to continue, got none in {run_dir}")
    strangers = run_dir.exists() and any(path.name not in (LOCK_FILE, NEXT) for path in run_dir.iterdir())
    if kept is None and strangers:
        raise ValueError(f"{run_dir} holds files that are no run; choose another place with --output-dir")
    changed = [] if kept is None else differences(kept, recipe)
    if resume and changed:
        raise ValueError(
            f"--resume continues with the settings of the run in {run_dir}; these differ:\n" + "\n".join(changed)
        )
    if has_trained(recipe) and not (resume or overwrite):
        raise ValueError(
            f"{run_dir} already holds a run: continue it with --resume, delete it with --overwrite, or choose another "
            "place with --output-dir"
        )
    is_prepared = (run_dir / PREPARED / "finished.json").exists() and (run_dir / SETTINGS_FILE).exists()
    goes_on = is_prepared and not overwrite and not changed
    if data_dir is not None and not goes_on:
        if not data_dir.is_dir() or not rust_files(data_dir).paths:
            raise ValueError(f"data.data_dir must be a folder with .rs files, got {str(data_dir)!r}")
        if data_dir.resolve().is_relative_to(run_dir.resolve()):
            raise ValueError(f"data.data_dir must lie outside the run's folder {run_dir}, got {str(data_dir)!r}")
    return not goes_on


def next_folder(recipe: Recipe) -> Path:
    """The folder in which a new run is prepared; an interrupted preparation with equal settings is used again."""
    folder, settings = recipe.run_dir / NEXT, as_kept(recipe)
    if not (folder / SETTINGS_FILE).exists() or json.loads((folder / SETTINGS_FILE).read_text()) != settings:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        unfinished = folder / "unfinished"
        unfinished.write_text(json.dumps(settings, indent=2) + "\n")
        unfinished.replace(folder / SETTINGS_FILE)
    return folder


def take_place(recipe: Recipe) -> None:
    """Deletes what an earlier run left in the folder and puts the one that was prepared in its place."""
    folder = recipe.run_dir / NEXT
    names = stage_names(recipe, kept_settings(recipe.run_dir))
    for entry in (recipe.run_dir / name for name in (SETTINGS_FILE, *RUN_ENTRIES, *names)):
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink(missing_ok=True)
    # The settings come last: with them the run is whole.
    for entry in sorted(folder.iterdir(), key=lambda path: path.name == SETTINGS_FILE):
        entry.replace(recipe.run_dir / entry.name)
    folder.rmdir()


class RunLock:
    """
    The claim of a process on a run's folder, as long as it lives: the operating system ends it with the process.

    Raises:
        ValueError: Another process works in the folder; says which.
    """

    def __init__(self, run_dir: Path):
        self.made = [folder for folder in (run_dir, *run_dir.parents) if not folder.exists()]
        run_dir.mkdir(parents=True, exist_ok=True)
        self.path = run_dir / LOCK_FILE
        while True:
            self.file = self.path.open("a+")
            self._claim()
            # Whoever held it before may have deleted it in between.
            if self.path.exists() and os.path.samestat(os.fstat(self.file.fileno()), self.path.stat()):
                break
            self.file.close()
        self.file.truncate(0)
        self.file.write(f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%Y-%m-%d %H:%M:%S')}")
        self.file.flush()

    def _claim(self) -> None:
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.file.seek(0)
            owner = self.file.read() or "another process"
            self.file.close()
            raise ValueError(
                f"{self.path.parent} is in use by {owner}; wait for it, or choose another place with --output-dir"
            ) from None

    def close(self) -> None:
        """Ends the claim; folders that were made for it and hold nothing else go with it."""
        self.path.unlink(missing_ok=True)
        self.file.close()
        for folder in self.made:
            if any(folder.iterdir()):
                break
            folder.rmdir()


def resume_command(recipe: Recipe) -> str:
    """The command that continues a run; its settings are remembered."""
    processes = int(os.environ.get("WORLD_SIZE", 1))
    many = f"--num_processes {processes} " if processes > 1 else ""
    place = "" if recipe.output_dir == Path("runs") else f" --output-dir {recipe.output_dir}"
    return f"accelerate launch {many}{os.path.relpath(sys.argv[0])} --resume{place}"
