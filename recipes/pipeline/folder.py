"""The folder of a run: one process at a time works in it, and it keeps the settings of its run."""

import fcntl
import json
import os
import re
import shutil
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from evaluation.rust_files import rust_files
from model_cards.snapshot.recorded import CODE
from recipes.pipeline.data_settings import DataSettings
from recipes.pipeline.fields import from_json, values_of
from recipes.pipeline.file_names import (
    COMPILE_FUNCTIONS_FILE,
    COMPILE_TASKS_FILE,
    MODEL_CARD,
    OWN_TASKS_FILE,
    PREPARED,
    SOURCE,
    SYNTHETIC_FILE,
    TASKS_FILE,
)
from recipes.pipeline.former_runs import from_former_run
from recipes.pipeline.hardware_settings import HardwareSettings
from recipes.pipeline.initial_model import SECTION as INIT_FROM
from recipes.pipeline.initial_model import InitialModel
from recipes.pipeline.schema import Recipe, TrainingSettings
from recipes.pipeline.source_settings import SourceSettings
from recipes.pipeline.stages.kinds import KINDS
from recipes.pipeline.stages.stage import FINISHED

Kept = dict[str, dict[str, Any]]

SETTINGS_FILE = "recipe.json"
# A new run is prepared here; only when all of it could be done does it take the place of one that is there.
NEXT = "next"
LOCK_FILE = "lock"
# What a run makes in its folder, besides its stages' folders; nothing else there is ever deleted.
RUN_ENTRIES = (
    PREPARED,
    SOURCE,
    SYNTHETIC_FILE,
    TASKS_FILE,
    COMPILE_TASKS_FILE,
    COMPILE_FUNCTIONS_FILE,
    OWN_TASKS_FILE,
    "evaluation",
    CODE,
    "report.json",
    "report.html",
    MODEL_CARD,
)

# Settings of the data that generated programs depend on; verifying them takes most of the time of a preparation.
GENERATED = {
    SYNTHETIC_FILE: ("synthetic_samples",),
    TASKS_FILE: ("tasks", "max_task_tier"),
    COMPILE_TASKS_FILE: ("compile_tasks", "max_task_tier"),
}


def as_kept(recipe: Recipe) -> Kept:
    """All settings by section, as they are kept in a run's folder; each stage with its kind."""
    model = {name: value for name, value in recipe.model.to_dict().items() if name != "transformers_version"}
    kept: Kept = {"model": model, "data": values_of(recipe.data), "training": values_of(recipe.training)}
    kept["hardware"] = values_of(recipe.hardware)
    if recipe.source is not None:
        kept[SourceSettings.section] = values_of(recipe.source)
    if recipe.init_from is not None:
        kept[INIT_FROM] = asdict(recipe.init_from)
    kept |= {stage.name: {"kind": stage.section} | values_of(stage) for stage in recipe.stages}
    return json.loads(json.dumps(kept, default=str))


def kept_settings(recipe: Recipe) -> Kept | None:
    """The settings of the run in a recipe's folder, or of one whose preparation was interrupted; None without one."""
    kinds = {stage.name: stage.section for stage in recipe.stages}
    return read_settings(recipe.run_dir, kinds) or read_settings(recipe.run_dir / NEXT, kinds)


def read_settings(folder: Path, kinds: Mapping[str, str]) -> Kept | None:
    """
    The settings in a folder; None where it holds no run.

    Args:
        folder: Of the run.
        kinds: Kinds of the recipe's stages by name, for a run that kept none.
    """
    kept = _read_sections(folder)
    if kept is None or not {"model", "data", "training"} <= kept.keys():
        return None
    # A run of an earlier version kept none, and trained as these say.
    kept = {"hardware": values_of(HardwareSettings())} | kept
    return kept if stage_settings(kept) else from_former_run(kept, kinds)


def is_former_run(folder: Path) -> bool:
    """Whether the settings in a folder are from before every stage had a section of its own."""
    kept = _read_sections(folder)
    return kept is not None and not stage_settings(kept)


def _read_sections(folder: Path) -> Kept | None:
    try:
        kept = json.loads((folder / SETTINGS_FILE).read_text())
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
        return None
    are_sections = isinstance(kept, dict) and all(isinstance(values, dict) for values in kept.values())
    return kept if are_sections else None


def stage_settings(kept: Kept) -> dict[str, dict[str, Any]]:
    """The settings of each stage of a run, in their order."""
    # A section names the stage's folder, which a new run may delete.
    return {name: values for name, values in kept.items() if "kind" in values and re.fullmatch(r"[\w-]+", name)}


def remembered(recipe: Recipe, kept: Kept) -> Recipe:
    """
    The recipe with the settings and the stages of an earlier run.

    Raises:
        ValueError: The run has a kind of stage that does not exist.
    """
    unknown = sorted({values["kind"] for values in stage_settings(kept).values()} - KINDS.keys())
    if unknown:
        raise ValueError(
            f"the run in {recipe.run_dir} has stages of the kind {', '.join(unknown)}; there are {', '.join(KINDS)}"
        )
    initial, source = kept.get(INIT_FROM), kept.get(SourceSettings.section)
    return replace(
        recipe,
        source=source and from_json(SourceSettings, source),
        init_from=initial and InitialModel(folder=Path(initial["folder"]), files=initial["files"]),
        model=type(recipe.model).from_dict(recipe.model.to_dict() | kept["model"]),
        data=from_json(DataSettings, kept["data"]),
        training=from_json(TrainingSettings, kept["training"]),
        hardware=from_json(HardwareSettings, kept["hardware"]),
        stages=tuple(from_json(KINDS[values["kind"]], values) for values in stage_settings(kept).values()),
    )


def differences(kept: Kept, recipe: Recipe) -> list[str]:
    """
    Differences between the settings of a run and those of a recipe, a line for each; of settings that both have, and
    that shape what is trained.
    """
    now = as_kept(recipe)
    free = {stage.name for stage in recipe.stages if not stage.shapes_training}
    lines = [
        f"{section}.{name}: {kept[section][name]!r} in the run, {value!r} now"
        for section, values in now.items()
        for name, value in values.items()
        if section not in (*free, INIT_FROM) and name in kept.get(section, {}) and kept[section][name] != value
        if section != HardwareSettings.section or name in HardwareSettings.shapes_training
    ]
    before, after = (settings.get(INIT_FROM, {"folder": "a new model"})["folder"] for settings in (kept, now))
    if before != after:
        lines.append(f"--init-from: {before} in the run, {after} now")
    elif kept.get(INIT_FROM) != now.get(INIT_FROM):
        lines.append(f"--init-from: the files in {after} have changed")
    before, after = (", ".join(_with_steps(settings)) for settings in (kept, now))
    return lines if before == after else [*lines, f"stages: {before} in the run, {after} now"]


def _with_steps(kept: Kept) -> list[str]:
    return [section for section, values in stage_settings(kept).items() if values.get("total_steps", 0) > 0]


def stage_names(recipe: Recipe, kept: Kept | None) -> list[str]:
    """Names of the recipe's stages, and of those of the run in its folder."""
    return sorted({stage.name for stage in recipe.stages} | stage_settings(kept or {}).keys())


def has_trained(recipe: Recipe) -> bool:
    """Whether the run in the folder got as far as its first training step."""
    names = stage_names(recipe, kept_settings(recipe))
    traces = ("metrics.jsonl", FINISHED)
    return any((recipe.run_dir / name / trace).exists() for name in names for trace in traces)


def must_prepare(recipe: Recipe, resume: bool, overwrite: bool) -> bool:
    """
    Whether a new run is to be prepared in the folder, or what is prepared there is continued. Changes nothing.

    A run that never trained a step is replaced by one of other settings without an option.

    Raises:
        ValueError: There is a run and neither `resume` nor `overwrite` is set; what is there is no run, or one of
            other settings; the data are missing, or lie where they would be deleted.
    """
    run_dir, data_dir, kept = recipe.run_dir, recipe.data.data_dir, kept_settings(recipe)
    if resume and kept is None:
        raise ValueError(f"--resume needs a run to continue, got none in {run_dir}")
    if recipe.init_from is not None and not resume and recipe.init_from.folder.is_relative_to(run_dir.resolve()):
        raise ValueError(
            f"--init-from must lie outside the run's folder {run_dir}, which this run replaces, got "
            f"{str(recipe.init_from.folder)!r}; choose another place with --output-dir"
        )
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
    is_prepared = (run_dir / PREPARED / FINISHED).exists() and (run_dir / SETTINGS_FILE).exists()
    goes_on = is_prepared and not overwrite and not changed
    if data_dir is not None and not goes_on:
        if data_dir.resolve().is_relative_to(run_dir.resolve()):
            raise ValueError(f"data.data_dir must lie outside the run's folder {run_dir}, got {str(data_dir)!r}")
        check_data_dir(data_dir, recipe.data)
    return not goes_on


def check_data_dir(folder: Path, data: DataSettings) -> None:
    """
    Check that a project has enough text to train on some of it and to hold out the rest.

    Raises:
        ValueError: The folder is missing, or has too few files or too little text.
    """
    if not folder.is_dir():
        state = "is a file" if folder.exists() else "does not exist"
        raise ValueError(f"data.data_dir must be a folder with .rs files, got {str(folder)!r}, which {state}")
    found = rust_files(folder)
    if not found.paths:
        state = f"has none (left out: {found})" if found.left_out else "has none"
        raise ValueError(f"data.data_dir must be a folder with .rs files, got {str(folder)!r}, which {state}")
    size, least = sum(path.stat().st_size for path in found.paths), 2 * data.least_bytes
    if len(found.paths) < 2 or size < least:
        raise ValueError(
            f"data.data_dir must hold at least two .rs files of {least:,} bytes together, because whole files are "
            f"held out, got {len(found.paths):,} of {size:,} bytes in {str(folder)!r}: divide a large file into "
            f"modules; a data.seq_len below {data.seq_len} needs fewer bytes"
        )


def keep_settings(recipe: Recipe, folder: Path) -> None:
    """Write the settings of a run into a folder, whole or not at all."""
    unfinished = folder / "unfinished"
    unfinished.write_text(json.dumps(as_kept(recipe), indent=2) + "\n")
    unfinished.replace(folder / SETTINGS_FILE)


def next_folder(recipe: Recipe) -> Path:
    """
    The folder in which a new run is prepared. An interrupted preparation with equal settings is used again, and
    generated programs with equal settings of their own.
    """
    folder, settings = recipe.run_dir / NEXT, as_kept(recipe)
    kept = _read_sections(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if kept is None or _without_hardware(kept) != _without_hardware(settings):
        # First: without it everything is deleted, should the rest be interrupted.
        (folder / SETTINGS_FILE).unlink(missing_ok=True)
        usable = _usable_programs(kept, settings)
        for entry in list(folder.iterdir()):
            if entry.is_dir():
                shutil.rmtree(entry)
            elif entry.name not in usable:
                entry.unlink()
    if kept != settings:
        keep_settings(recipe, folder)
    return folder


def _usable_programs(kept: Kept | None, settings: Kept) -> set[str]:
    """Return the files of generated programs whose settings are those of an earlier preparation."""
    before, now = ({} if kept is None else kept.get("data", {})), settings["data"]
    return {file for file, names in GENERATED.items() if all(n in before and before[n] == now[n] for n in names)}


def _without_hardware(kept: Kept) -> Kept:
    """The settings on which a preparation depends."""
    return {section: values for section, values in kept.items() if section != HardwareSettings.section}


def take_place(recipe: Recipe) -> None:
    """Delete the files of an earlier run in the folder and move the prepared run there."""
    folder = recipe.run_dir / NEXT
    names = stage_names(recipe, kept_settings(recipe))
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
        """Release the lock, and delete folders that were created for it and are empty."""
        self.path.unlink(missing_ok=True)
        self.file.close()
        for folder in self.made:
            if any(folder.iterdir()):
                break
            folder.rmdir()


def resume_command(recipe: Recipe) -> str:
    """The command that continues a run; the run's folder remembers its settings."""
    processes = int(os.environ.get("WORLD_SIZE", 1))
    many = f"--num_processes {processes} " if processes > 1 else ""
    place = "" if recipe.output_dir == Path("runs") else f" --output-dir {recipe.output_dir}"
    program = Path(sys.argv[0])
    if program.suffix == ".py" and program.name != "__main__.py":
        return f"accelerate launch {many}{os.path.relpath(program)} --resume{place}"
    if processes > 1:
        return f"accelerate launch {many}-m nanochat_ternary train {recipe.name} --resume{place}"
    return f"nanochat-ternary train {recipe.name} --resume{place}"
