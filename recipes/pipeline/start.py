"""The start of a run: everything that can be refused is refused here, before anything is deleted or trained."""

import os
from importlib.util import find_spec

import datasets
import transformers
from rich.console import Console

from evaluation.continuous import may_run_programs
from evaluation.exit_status import hint
from evaluation.rust.rustc.toolchain import find_toolchain
from evaluation.rust.sandbox.runner import OPT_IN, CodeExecutionNotAllowed, require_consent
from recipes.pipeline.export import check_export, export_plan
from recipes.pipeline.folder import PREPARED, must_prepare, next_folder, take_place
from recipes.pipeline.prepare import Prepared, check_data, prepare, read_prepared, repetitions
from recipes.pipeline.processes import on_main_process, process_state, use_all_cores
from recipes.pipeline.reinforce import check_room
from recipes.pipeline.schema import Recipe
from trainers.stages import MaxRLStage, Stage

console = Console(highlight=False)
# From so many readings of a text on, a model learns it by heart rather than from it.
MANY_READINGS = 5


def start(recipe: Recipe, resume: bool = False, overwrite: bool = False, only: str | None = None) -> Prepared:
    """
    Checks the settings, the machine and the folder, and prepares the data there.

    Args:
        recipe: The run.
        resume: Continue the run in the folder.
        overwrite: Put a new run in its place.
        only: The only stage that will be trained; its predecessor is finished then.

    Raises:
        ValueError, OSError, RuntimeError: What is wrong with the settings, the folders or the data; one of
            `evaluation.exit_status.USER_ERRORS`, in all processes alike.
    """
    # Only the training and evaluation loops show progress bars of their own.
    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()
    use_all_cores()
    stages = [stage for stage in recipe.stages if only in (None, stage.name)]
    _check_machine(recipe, stages)
    if only is not None:
        recipe.check_stage_before(only)
        if overwrite and only != recipe.stages[0].name:
            raise ValueError(f"--stage {only} continues the run that --overwrite would delete; give --resume instead")
    if recipe.data.variants and not (resume and (recipe.run_dir / PREPARED / "finished.json").exists()):
        require_consent("the tests of the texts that data.variants varies")
    blocked = _blocked_stage([stage for stage in stages if not (resume and _is_finished(recipe, stage))])

    def prepare_or_continue() -> None:
        is_new = must_prepare(recipe, resume, overwrite)
        console.print(f"[bold]{recipe.name}[/bold]: {recipe.description}")
        console.print(export_plan(recipe), markup=False)
        if blocked is not None:
            console.print(
                f"Stage {blocked.name} runs programs that the model writes and needs {OPT_IN}=1, which is not set: "
                "the run trains everything before it and stops there"
            )
        console.print("Reading Rust, training the tokenizer, packing blocks")
        folder = next_folder(recipe) if is_new else recipe.run_dir
        prepare(recipe, folder / PREPARED)
        prepared = read_prepared(recipe, folder / PREPARED)
        for stage in recipe.stages:
            if isinstance(stage, MaxRLStage):
                check_room(recipe, stage, prepared.tokenizer, folder)
        if is_new:
            take_place(recipe)

    on_main_process(prepare_or_continue)
    prepared = read_prepared(recipe, recipe.run_dir / PREPARED)
    if process_state().is_main_process:
        parts = prepared.training[recipe.stages[0].name], prepared.validation
        training, validation = (len(part) * recipe.data.seq_len for part in parts)
        console.print(f"{training:,} tokens to train on, {validation:,} held out")
        for stage in stages:
            if isinstance(stage, Stage):
                _warn_of_many_readings(recipe, stage, prepared)
    return prepared


def _check_machine(recipe: Recipe, stages: list[Stage | MaxRLStage]) -> None:
    """Checks what the stages need of this machine and of the way they were launched; raises as `start` does."""
    report_to = recipe.training.report_to
    if report_to != "none" and find_spec(report_to) is None:
        raise ValueError(f"training.report_to={report_to} needs a package: {hint(report_to)}")
    check_export(recipe)
    check_data(recipe)
    if recipe.data.makes_programs or any(isinstance(stage, MaxRLStage) for stage in stages):
        find_toolchain()
    if int(os.environ.get("PARALLELISM_CONFIG_TP_SIZE", 1)) > 1:
        raise ValueError(
            "recipes do not train with tensor parallelism: their optimizers and checkpoints are made for whole or "
            "FSDP-sharded weights. Use recipes/launch/ddp_2.yaml, or recipes/launch/fsdp2_2.yaml where the model does "
            "not fit one GPU"
        )
    if os.environ.get("ACCELERATE_USE_FSDP", "false") == "true" and any(isinstance(s, MaxRLStage) for s in stages):
        raise ValueError(
            "reinforcement learning needs the whole model in every process, and FSDP shards it. Use "
            "recipes/launch/ddp_2.yaml; or pretrain with FSDP (--stage pretrain), and launch --stage maxrl without"
        )
    processes = process_state().num_processes
    for stage in stages:
        if isinstance(stage, MaxRLStage):
            stage.micro_batch_for(processes)
        else:
            recipe.training.micro_batch_for(stage, recipe.data.seq_len, processes)


def needs_consent(stage: Stage | MaxRLStage) -> bool:
    """Whether a stage runs programs that the model wrote and the user has not allowed it."""
    return isinstance(stage, MaxRLStage) and not may_run_programs()


def _is_finished(recipe: Recipe, stage: Stage | MaxRLStage) -> bool:
    return (recipe.stage_dir(stage) / "finished.json").exists()


def _blocked_stage(stages: list[Stage | MaxRLStage]) -> MaxRLStage | None:
    """The stage before which the run will stop; raises `CodeExecutionNotAllowed` when nothing is left before it."""
    blocked = next((stage for stage in stages if needs_consent(stage)), None)
    if blocked is not None and stages[0] is blocked:
        try:
            require_consent()
        except CodeExecutionNotAllowed as error:
            raise CodeExecutionNotAllowed(f"stage {blocked.name}: {error}") from None
    return blocked


def _warn_of_many_readings(recipe: Recipe, stage: Stage, prepared: Prepared) -> None:
    tokens = len(prepared.training[stage.name]) * recipe.data.seq_len
    readings = stage.total_steps * stage.tokens_per_step / tokens * repetitions(recipe, stage)
    if readings >= MANY_READINGS:
        console.print(
            f"Stage {stage.name} reads some of its text {readings:,.0f} times: more text or fewer steps keep the "
            "model from learning it by heart; watch the held-out loss"
        )
