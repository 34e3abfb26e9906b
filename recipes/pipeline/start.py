"""The start of a run: everything that can be refused is refused here, before anything is deleted or trained."""

import os
from collections.abc import Sequence
from importlib.util import find_spec

import datasets
import transformers
from rich.console import Console

from evaluation.exit_status import hint
from evaluation.rust.rustc.toolchain import find_toolchain
from evaluation.rust.sandbox.runner import OPT_IN, CodeExecutionNotAllowed, require_consent
from model_cards.snapshot.recorded import record_code
from recipes.pipeline.file_names import PREPARED
from recipes.pipeline.folder import is_former_run, keep_settings, must_prepare, next_folder, take_place
from recipes.pipeline.hardware import preparation_workers, use_gpu, use_processors
from recipes.pipeline.prepare import Prepared, changes_since, check_data, prepare, read_prepared
from recipes.pipeline.processes import on_main_process, process_state
from recipes.pipeline.run import only_closing
from recipes.pipeline.run_tasks import keep_own_tasks
from recipes.pipeline.schema import Recipe
from recipes.pipeline.source import check_source, make_source
from recipes.pipeline.stages.stage import FINISHED, Stage, uses_fsdp
from trainers.data.sources import BUILTIN_RUST
from trainers.hardware import has_no_accelerator

console = Console(highlight=False)


def start(recipe: Recipe, resume: bool = False, overwrite: bool = False, only: str | None = None) -> Prepared:
    """
    Check the settings, the machine and the folder, and prepare the data there.

    Args:
        recipe: The run.
        resume: Continue the run in the folder.
        overwrite: Replace it by a new run.
        only: The only stage that will run; the one before it must be finished then.

    Raises:
        ValueError, OSError, RuntimeError: A fault in the settings, the folders or the data; one of
            `evaluation.exit_status.USER_ERRORS`, in all processes alike.
    """
    # Only the training and evaluation loops show progress bars of their own.
    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()
    lacks = use_processors(recipe.hardware)
    closing = only_closing(recipe, only)
    stages = [stage for stage in recipe.active_stages if only in (None, stage.name) or stage.closes_run]
    stages = stages if closing is None else [closing]
    _check_initial_model(recipe)
    check_machine(recipe, stages)
    lacks += use_gpu(recipe.hardware)
    if only is not None:
        _check_stage_before(recipe, only)
        if overwrite and only != recipe.active_stages[0].name:
            raise ValueError(f"--stage {only} continues the run that --overwrite would delete; give --resume instead")
    _check_consent(recipe, resume)
    blocked = _blocked_stage([stage for stage in stages if not (resume and stage.is_finished(recipe))])

    def prepare_or_continue() -> None:
        _introduce(recipe)
        _warn(lacks)
        for plan in filter(None, (stage.plan(recipe) for stage in stages)):
            console.print(plan, markup=False)
        if blocked is not None:
            console.print(
                f"Stage {blocked.name} runs programs that the model writes and needs {OPT_IN}=1, which is not set: "
                "the run trains everything before it and stops there"
            )
        prepare_folder(recipe, resume, overwrite)

    on_main_process(prepare_or_continue)
    prepared = read_prepared(recipe, recipe.run_dir / PREPARED)
    if process_state().is_main_process:
        describe(recipe, prepared, stages)
    return prepared


def prepare_only(
    recipe: Recipe, resume: bool = False, overwrite: bool = False, num_workers: int | None = None
) -> None:
    """
    Prepare the data of a run and train nothing; the run then continues from it.

    Args:
        recipe: The run.
        resume: Continue the preparation in the folder.
        overwrite: Replace the run there.
        num_workers: Number of processes that inspect and verify; None for `hardware.preparation_workers`.

    Raises:
        ValueError, OSError, RuntimeError: As [`start`] does.
    """
    datasets.disable_progress_bars()
    lacks = use_processors(recipe.hardware)
    _check_initial_model(recipe)
    if recipe.data.makes_programs or recipe.data.verify:
        find_toolchain()
    _check_consent(recipe, resume)
    _introduce(recipe)
    _warn(lacks)
    prepare_folder(recipe, resume, overwrite, num_workers)
    describe(recipe, read_prepared(recipe, recipe.run_dir / PREPARED), recipe.active_stages)


def prepare_folder(recipe: Recipe, resume: bool, overwrite: bool, num_workers: int | None = None) -> None:
    """Prepare the data, check it for every stage, and only then let the new run take its place in the folder."""
    num_workers = preparation_workers(recipe.hardware) if num_workers is None else num_workers
    is_new = must_prepare(recipe, resume, overwrite)
    if is_new:
        check_data(recipe.data, num_workers)
    elif not resume and (changed := changes_since(recipe.data, recipe.run_dir / PREPARED)):
        lines = "\n".join(changed)
        console.print(f"The inputs have changed, so that the data is prepared again:\n{lines}", markup=False)
        is_new = True
    console.print("Reading Rust, training the tokenizer, packing blocks")
    folder = next_folder(recipe) if is_new else recipe.run_dir
    recipe = make_source(recipe, folder)
    if resume and recipe.init_from is not None and not recipe.active_stages[0].is_finished(recipe):
        recipe.init_from.check_unchanged()
    for stage in recipe.active_stages:
        stage.check_initial(recipe)
    if not (folder / PREPARED / FINISHED).exists():
        record_code(folder, PREPARED)
    keep_own_tasks(recipe.data, folder, resume)
    prepare(recipe, folder / PREPARED, num_workers)
    prepared = read_prepared(recipe, folder / PREPARED)
    for stage in recipe.active_stages:
        stage.check_prepared(recipe, prepared, folder)
    if is_new:
        take_place(recipe)
    elif resume and is_former_run(recipe.run_dir):
        keep_settings(recipe, recipe.run_dir)


def describe(recipe: Recipe, prepared: Prepared, stages: Sequence[Stage]) -> None:
    """Print how much there is to train on, how often each stage reads what, and warnings."""
    parts = prepared.training[next(stage.name for stage in recipe.active_stages if stage.longest_block)]
    training, validation = (len(part) * recipe.data.seq_len for part in (parts, prepared.validation))
    console.print(f"{training:,} tokens to train on, {validation:,} held out")
    for stage in stages:
        for line in (*stage.reads(recipe, prepared), *stage.warnings(recipe, prepared)):
            console.print(line, markup=False, soft_wrap=True)


def _introduce(recipe: Recipe) -> None:
    console.print(f"[bold]{recipe.name}[/bold]: {recipe.description}")


def _warn(lacks: Sequence[str]) -> None:
    """Print what the machine lacks of the recipe's settings."""
    for each in lacks:
        console.print(f"Warning: {each}", markup=False, soft_wrap=True)


def _check_consent(recipe: Recipe, resume: bool) -> None:
    """Raise `CodeExecutionNotAllowed` if the preparation needs consent to run programs, and it is missing."""
    if resume and (recipe.run_dir / PREPARED / FINISHED).exists():
        return
    if recipe.data.variants:
        require_consent("the tests of the texts that data.variants varies")
    if recipe.data.task_file is not None:
        require_consent("the solutions of the tasks in data.task_file, and wrong variants of them")
    if recipe.data.reads_crates:
        require_consent("the build scripts and proc macros of the crates that data.verify checks")


def check_before_dry_run(recipe: Recipe) -> None:
    """Check what the whole run needs of this machine, which its small version may not need; raises as `start` does."""
    if recipe.data.data_dir is None:
        # Built-in texts stand in for the user's folder.
        recipe = recipe.changed(data={"data_dir": BUILTIN_RUST})
    check_machine(recipe, recipe.active_stages)


def check_machine(recipe: Recipe, stages: Sequence[Stage]) -> None:
    """Check what the stages need of this machine and of the launcher; raises as `start` does."""
    report_to = recipe.training.report_to
    if report_to != "none" and find_spec(report_to) is None:
        raise ValueError(f"training.report_to={report_to} needs a package: {hint(report_to)}")
    if recipe.data.makes_programs or recipe.data.verify or any(stage.runs_compiler for stage in stages):
        find_toolchain()
    if int(os.environ.get("PARALLELISM_CONFIG_TP_SIZE", 1)) > 1:
        raise ValueError(
            "recipes do not train with tensor parallelism: their optimizers and checkpoints are made for whole or "
            "FSDP-sharded weights. Use recipes/launch/ddp_2.yaml, or recipes/launch/fsdp2_2.yaml where the model does "
            "not fit one GPU"
        )
    if uses_fsdp() and has_no_accelerator():
        raise ValueError(
            "FSDP needs GPUs: without them nothing is sharded. Use recipes/launch/cpu.yaml, or accelerate launch --cpu"
        )
    if recipe.source is not None:
        check_source(recipe.source)
    for stage in stages:
        stage.check_machine(recipe, process_state().num_processes)


def _check_initial_model(recipe: Recipe) -> None:
    """Raise `ValueError` if the first stage needs a model and the recipe has none."""
    first = recipe.active_stages[0]
    if not first.builds_model and recipe.source is None and recipe.init_from is None:
        raise ValueError(
            f"stage {first.name} continues from a model, and no stage before it builds one: "
            "name the folder of a saved model with --init-from"
        )


def _check_stage_before(recipe: Recipe, name: str) -> None:
    """Raise `ValueError` unless the stage before is finished; for one that closes every run, unless the first is."""
    stage = recipe.active_stage(name)
    before = recipe.before(stage)[:1] if stage.closes_run else recipe.before(stage)[-1:]
    if before and not before[0].is_finished(recipe):
        raise ValueError(
            f"--stage {name} needs the stage before it, {before[0].name}, to be finished in {recipe.run_dir}"
        )


def _blocked_stage(stages: Sequence[Stage]) -> Stage | None:
    """The stage before which the run will stop; raises `CodeExecutionNotAllowed` when nothing is left before it."""
    blocked = next((stage for stage in stages if stage.needs_consent()), None)
    if blocked is not None and stages[0] is blocked:
        try:
            require_consent()
        except CodeExecutionNotAllowed as error:
            raise CodeExecutionNotAllowed(f"stage {blocked.name}: {error}") from None
    return blocked
