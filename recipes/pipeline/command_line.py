"""The command line that every recipe has."""

import argparse
import errno
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import psutil
import torch
from accelerate.utils import broadcast_object_list
from rich.console import Console
from safetensors import SafetensorError

from evaluation.exit_status import BAD_INPUT, INTERRUPTED, USER_ERRORS, one_line
from evaluation.rust import SandboxUnavailable, ToolchainUnavailable
from evaluation.rust.sandbox.runner import OPT_IN, SandboxFailure
from recipes.pipeline.folder import RunLock, differences, kept_settings, remembered, resume_command
from recipes.pipeline.options import add_options
from recipes.pipeline.processes import on_main_process, process_state
from recipes.pipeline.run import finish, how_to_go_on
from recipes.pipeline.schema import Recipe
from recipes.pipeline.settings import show, with_settings
from recipes.pipeline.start import start
from trainers.callbacks import TrainingDiverged
from trainers.reinforcement.rewards import RewardUnavailable

console = Console(highlight=False)


class OneLineParser(argparse.ArgumentParser):
    """A parser whose errors end as all others do."""

    def error(self, message: str) -> NoReturn:
        _end(f"{self.format_usage()}{self.prog}: error: {message}", BAD_INPUT)


def main(recipe: Recipe, arguments: list[str] | None = None) -> None:
    """Run a recipe with what the command line changes of it; what cannot be done ends with one line that says why."""
    parser = OneLineParser(description=recipe.description)
    add_options(parser, recipe)
    options = parser.parse_args(arguments)
    only = options.stage
    with ExitStack() as stack:
        with _refusing(parser.prog):
            recipe = _chosen(recipe, options, parser)
            if options.show:
                show(recipe, console)
                return
            go_on = "" if options.dry_run else f" Continue with: {resume_command(recipe)}"
            stack.enter_context(_ending_in_one_line(recipe, go_on))
            if options.dry_run:
                recipe, only = stack.enter_context(_toy(recipe, only)), None
            else:
                stack.enter_context(_claimed(recipe))
            prepared = start(recipe, options.resume, options.overwrite, only)
        blocked = finish(recipe, prepared, only)
    if not process_state().is_main_process:
        return
    if options.dry_run:
        untried = "" if blocked is None else f", but for stage {blocked.name}, which needs {OPT_IN}=1"
        console.print(f"The dry run went through{untried}; nothing of it was kept.")
    elif blocked is not None:
        console.print(how_to_go_on(recipe, blocked), markup=False, soft_wrap=True)


def _chosen(recipe: Recipe, options: argparse.Namespace, parser: argparse.ArgumentParser) -> Recipe:
    """
    The recipe with the settings of the run that is continued, and what the command line changes.

    Raises:
        ValueError: There is no such run, or a change is not possible.
    """
    recipe = replace(recipe, output_dir=options.output_dir)
    if options.resume:
        kept = kept_settings(recipe.run_dir)
        if kept is None:
            raise ValueError(f"--resume needs a run to continue, got none in {recipe.run_dir}")
        changed = differences(kept, recipe)
        recipe = remembered(recipe, kept)
        if changed and os.environ.get("RANK", "0") == "0":
            console.print("Settings of the run that are not the recipe's:\n" + "\n".join(changed), markup=False)
    recipe = with_settings(recipe, options.changes)
    training = recipe.training
    if options.seed != parser.get_default("seed"):
        training = replace(training, seed=options.seed)
    if options.total_steps is not None:
        training = training.with_total_steps(options.total_steps)
    data = recipe.data
    if options.data_dir != parser.get_default("data_dir"):
        data = replace(data, data_dir=options.data_dir)
    data = replace(data, data_dir=data.data_dir and data.data_dir.resolve())
    return replace(recipe, data=data, training=training)


@contextmanager
def _toy(recipe: Recipe, last: str | None) -> Iterator[Recipe]:
    """The recipe, or its stages up to one of them, at toy size, in a folder that is deleted."""
    with tempfile.TemporaryDirectory() as folder:
        # One folder for all processes.
        shared = [folder]
        if process_state().num_processes > 1:
            broadcast_object_list(shared)
        toy = replace(recipe.toy(), output_dir=Path(shared[0]))
        yield toy if last is None else toy.up_to(last)


@contextmanager
def _claimed(recipe: Recipe) -> Iterator[None]:
    """Holds the run's folder, for all processes of this run."""
    lock: list[RunLock] = []
    on_main_process(lambda: lock.append(RunLock(recipe.run_dir)))
    try:
        yield
    finally:
        for each in lock:
            each.close()


@contextmanager
def _refusing(program: str) -> Iterator[None]:
    """Ends with one line where the run cannot be started."""
    try:
        yield
    except USER_ERRORS as error:
        if _is_full(error):
            raise
        _end(f"{program}: error: {one_line(error)}", BAD_INPUT)


@contextmanager
def _ending_in_one_line(recipe: Recipe, go_on: str) -> Iterator[None]:
    """Ends with one line, which says how to go on, where something from outside ends the run."""
    try:
        yield
    except KeyboardInterrupt:
        _end(f"Interrupted.{go_on}", INTERRUPTED)
    except (TrainingDiverged, RewardUnavailable, ToolchainUnavailable, SandboxUnavailable, SandboxFailure) as error:
        _end(f"Stopped: {str(error).rstrip('.')}.{go_on}", 1)
    except torch.OutOfMemoryError as error:
        smaller = "--set training.micro_batch_size=1, --set training.checkpointing=loop"
        _end(f"Out of the device's memory: {str(error).partition('. ')[0]}. What needs less: {smaller}", 1)
    except (OSError, SafetensorError) as error:
        if not _is_full(error):
            raise
        reason = error.strerror if isinstance(error, OSError) else error
        _end(f"No space is left on the disk of {recipe.run_dir} ({reason}). Make room.{go_on}", 1)


def _is_full(error: Exception) -> bool:
    """Whether an error says that a disk is full; libraries in other languages have no number for it."""
    is_numbered = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    return is_numbered or "No space left on device" in str(error)


def _end(message: str, status: int) -> NoReturn:
    """Ends this process with a line on stderr, from the main process alone, and the launcher without a traceback."""
    if os.environ.get("RANK", "0") == "0":
        print(message, file=sys.stderr, flush=True)
    launcher = psutil.Process().parent()
    command = launcher.cmdline() if launcher is not None else []
    if "launch" in command and any(Path(part).name == "accelerate" for part in command):
        # It would print a traceback of its own, which says nothing but that this process ended with an error.
        if int(os.environ.get("WORLD_SIZE", 1)) == 1:
            launcher.send_signal(signal.SIGTERM)
        elif status == BAD_INPUT:
            # All processes end alike; the launcher of several catches every gentler signal.
            launcher.send_signal(signal.SIGKILL)
    sys.exit(status)
