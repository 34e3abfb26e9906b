"""Run a recipe with the options of its command line."""

import argparse
import errno
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from accelerate.utils import broadcast_object_list
from rich.console import Console
from safetensors import SafetensorError

from evaluation.exit_status import BAD_INPUT, INTERRUPTED, USER_ERRORS, one_line
from evaluation.rust import SandboxUnavailable, ToolchainUnavailable
from evaluation.rust.judging import JudgeUnavailable
from evaluation.rust.sandbox.runner import OPT_IN, SandboxFailure
from recipes.pipeline.file_names import PREPARED
from recipes.pipeline.folder import (
    NEXT,
    SETTINGS_FILE,
    RunLock,
    differences,
    kept_settings,
    remembered,
    resume_command,
)
from recipes.pipeline.initial_model import InitialModel, write_stand_in
from recipes.pipeline.launcher import end_run
from recipes.pipeline.plan.plan import make_plan
from recipes.pipeline.plan.tables import print_plan
from recipes.pipeline.processes import on_main_process, process_state
from recipes.pipeline.run import finish, how_to_go_on
from recipes.pipeline.schema import Recipe
from recipes.pipeline.settings import show, with_settings
from recipes.pipeline.source import write_stand_in_source
from recipes.pipeline.stages.ouro import with_ouro_schedule
from recipes.pipeline.start import check_before_dry_run, prepare_only, start
from trainers.callbacks import TrainingDiverged
from trainers.data.sources.registry import absolute_source
from trainers.stopping import OutOfTime, TimeLimit

console = Console(highlight=False)


def run_recipe(make_recipe: Callable[[], Recipe], options: argparse.Namespace, program: str) -> None:
    """
    Run a recipe, or show its settings or its plan.

    Args:
        make_recipe: Makes the recipe as it is without options.
        options: Of [`recipes.pipeline.options.add_options`].
        program: Name in error messages.
    """
    only: str | None = options.stage
    with ExitStack() as stack:
        with _refusing(program):
            recipe = _chosen(_made(make_recipe), options)
            if not options.plan and (options.gpu is not None or options.num_gpus is not None):
                raise ValueError("--gpu and --num-gpus need --plan: a run uses the GPUs that its launcher gives it")
            trains = not (options.plan or options.show or options.dry_run or only == PREPARED)
            if options.stop_after is not None and not trains:
                raise ValueError(
                    "--stop-after ends a training: leave it out with --plan, --show, --dry-run and --stage prepare"
                )
            if only not in (None, PREPARED):
                recipe.active_stage(only)
            if options.show:
                show(recipe, console)
                return
            if options.plan:
                planned = recipe if only in (None, PREPARED) else recipe.up_to(only)
                print_plan(console, make_plan(planned, options.gpu, options.num_gpus))
                return
            go_on = "" if options.dry_run else f" Continue with: {resume_command(recipe)}"
            stack.enter_context(_ending_in_one_line(recipe, go_on))
            if options.dry_run:
                if only != PREPARED:
                    check_before_dry_run(recipe if only is None else recipe.up_to(only))
                last = None if only == PREPARED else only
                recipe, only = stack.enter_context(_toy(recipe, last)), PREPARED if only == PREPARED else None
            else:
                stack.enter_context(_claimed(recipe))
            if only == PREPARED:
                on_main_process(lambda: prepare_only(recipe, options.resume, options.overwrite))
                if process_state().is_main_process:
                    console.print(
                        "The dry run finished; its folder is deleted." if options.dry_run else _prepared(recipe),
                        markup=False,
                    )
                return
            prepared = start(recipe, options.resume, options.overwrite, only)
        try:
            blocked = finish(recipe, prepared, only)
        except OutOfTime as when:
            if process_state().is_main_process:
                # Not an error: the user asked for it.
                console.print(
                    f"Stopped {when}: --stop-after is over. Go on with: {resume_command(recipe)}", markup=False
                )
            return
    if not process_state().is_main_process:
        return
    if options.dry_run:
        untried = "" if blocked is None else f", but for stage {blocked.name}, which needs {OPT_IN}=1"
        console.print(f"The dry run finished{untried}; its folder is deleted.")
    elif blocked is not None:
        console.print(how_to_go_on(recipe, blocked), markup=False, soft_wrap=True)


def prepare_recipe(make_recipe: Callable[[], Recipe], options: argparse.Namespace, program: str) -> None:
    """
    Prepare the data of a recipe.

    Args:
        make_recipe: Makes the recipe as it is without options.
        options: Of [`recipes.pipeline.prepare_command.add_prepare`].
        program: Name in error messages.
    """
    with ExitStack() as stack:
        with _refusing(program):
            recipe = with_data(_made(make_recipe), options)
            if options.limit is not None:
                recipe = recipe.changed(data={"limit": options.limit})
            go_on = f" Continue with: {program} --recipe {options.recipe} --resume"
            place = "" if options.output_dir is None else f" --output-dir {options.output_dir}"
            stack.enter_context(_ending_in_one_line(recipe, go_on + place))
            stack.enter_context(_claimed(recipe))
            prepare_only(recipe, options.resume, options.overwrite, options.num_workers)
    console.print(_prepared(recipe), markup=False, soft_wrap=True)


def _prepared(recipe: Recipe) -> str:
    return f"Everything is in {recipe.run_dir / PREPARED}; train with: {resume_command(recipe)}"


def _made(make_recipe: Callable[[], Recipe]) -> Recipe:
    """The recipe that a function, perhaps of the user, makes. Raises `ValueError` when it makes something else."""
    recipe = make_recipe()
    if not isinstance(recipe, Recipe):
        raise ValueError(f"{make_recipe.__name__}() must return a Recipe, got {type(recipe).__name__}")
    return recipe


def _chosen(recipe: Recipe, options: argparse.Namespace) -> Recipe:
    """
    The recipe with the settings of the run that is continued, and the changes of the command line.

    Raises:
        ValueError: There is no such run, or a change is not possible.
    """
    if options.schedule is not None:
        recipe = with_ouro_schedule(recipe)
    recipe = with_data(recipe, options)
    if options.seed is not None:
        recipe = recipe.changed(training={"seed": options.seed})
    if options.total_steps is not None:
        recipe = recipe.with_total_steps(options.total_steps)
    if options.stop_after is not None:
        recipe = replace(recipe, time_limit=TimeLimit(options.stop_after))
    return recipe


def with_data(recipe: Recipe, options: argparse.Namespace) -> Recipe:
    """
    The recipe with the settings of the run that is continued, and the changes of the options of
    [`recipes.pipeline.options.add_data_options`].

    Raises:
        ValueError: There is no such run, or a change is not possible.
    """
    if options.output_dir is not None:
        recipe = replace(recipe, output_dir=options.output_dir)
    if options.resume:
        kept = kept_settings(recipe)
        if kept is None:
            raise ValueError(f"--resume needs a run to continue, got none in {recipe.run_dir}")
        changed = differences(kept, recipe)
        recipe = remembered(recipe, kept)
        if recipe.init_from is not None:
            # The model that the run started from is not the recipe's, which nobody has to be told.
            changed = [line for line in changed if not line.startswith(("model.", "--init-from", "data.vocab_size"))]
        if changed and os.environ.get("RANK", "0") == "0":
            console.print("Settings of the run that are not the recipe's:\n" + "\n".join(changed), markup=False)
    initial = None if options.init_from is None else InitialModel.read(options.init_from)
    if options.resume and initial is not None:
        if initial != recipe.init_from:
            of_the_run = "a new model" if recipe.init_from is None else recipe.init_from.folder
            raise ValueError(
                f"--resume continues the run in {recipe.run_dir}, which started from {of_the_run}; --init-from "
                f"{options.init_from} is another model, or has changed. Leave it out"
            )
        initial = None
    recipe = with_settings(recipe, options.changes, initial)
    folder = recipe.data.data_dir if options.data_dir is None else options.data_dir
    named = tuple(options.sources) or recipe.data.sources
    sources = tuple(absolute_source(source) for source in named)
    return recipe.changed(data={"data_dir": folder and folder.resolve(), "sources": sources})


@contextmanager
def _toy(recipe: Recipe, last: str | None) -> Iterator[Recipe]:
    """The recipe, or its stages up to one of them, at toy size, in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        # One folder for all processes.
        shared = [folder]
        if process_state().num_processes > 1:
            broadcast_object_list(shared)
        toy = replace(recipe.toy(process_state().num_processes), output_dir=Path(shared[0]))
        stand_in = Path(shared[0]) / "initial_model"
        if recipe.source is not None:
            tokens = on_main_process(lambda: write_stand_in_source(toy, stand_in))
            toy = toy.changed(source={"model": str(stand_in)}, data={"vocab_size": tokens})
        if recipe.init_from is not None:
            tokenizer = recipe.init_from.tokenizer()
            on_main_process(lambda: write_stand_in(toy.model, tokenizer, stand_in))
            toy = replace(toy, init_from=InitialModel.read(stand_in))
        yield toy if last is None else toy.up_to(last)


@contextmanager
def _claimed(recipe: Recipe) -> Iterator[None]:
    """Hold the lock on the run's folder, for all processes of this run."""
    lock: list[RunLock] = []
    on_main_process(lambda: lock.append(RunLock(recipe.run_dir)))
    try:
        yield
    finally:
        for each in lock:
            each.close()


@contextmanager
def _refusing(program: str) -> Iterator[None]:
    """End with one line when the run cannot be started."""
    try:
        yield
    except USER_ERRORS as error:
        if _is_full(error):
            raise
        end_run(f"{program}: error: {one_line(error)}", BAD_INPUT)


@contextmanager
def _ending_in_one_line(recipe: Recipe, go_on: str) -> Iterator[None]:
    """End with one line that says how to continue when something from outside ends the run."""
    folder = recipe.run_dir

    def how() -> str:
        replaces = (folder / NEXT).exists() and (folder / SETTINGS_FILE).exists()
        return " Continue with the same command." if replaces else go_on

    try:
        yield
    except KeyboardInterrupt:
        end_run(f"Interrupted.{how()}", INTERRUPTED)
    except (TrainingDiverged, JudgeUnavailable, ToolchainUnavailable, SandboxUnavailable, SandboxFailure) as error:
        end_run(f"Stopped: {str(error).rstrip('.')}.{how()}", 1)
    except torch.OutOfMemoryError as error:
        smaller = "--set training.micro_batch_size=1, --set training.checkpointing=group"
        end_run(f"Out of the device's memory: {str(error).partition('. ')[0]}. What needs less: {smaller}", 1)
    except (OSError, SafetensorError) as error:
        if not _is_full(error):
            raise
        reason = error.strerror if isinstance(error, OSError) else error
        end_run(f"No space is left on the disk of {recipe.run_dir} ({reason}). Make room.{how()}", 1)


def _is_full(error: Exception) -> bool:
    """Whether an error says that a disk is full; libraries in other languages have no number for it."""
    is_numbered = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    return is_numbered or "No space left on device" in str(error)
