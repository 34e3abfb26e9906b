"""Tasks of a run: those that are made, and the user's own, which are checked once and kept in the run's folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from transformers import PreTrainedTokenizerFast

from evaluation.rust import RustVerifier
from evaluation.tables import plain_console, print_table
from recipes.pipeline.data_settings import DataSettings
from recipes.pipeline.file_names import COMPILE_FUNCTIONS_FILE, COMPILE_TASKS_FILE, OWN_TASKS_FILE, TASKS_FILE
from trainers.data.benchmark_problems import load_benchmarks
from trainers.data.decontamination import Contamination
from trainers.data.tasks import OwnTask, Task, read_own_tasks, split_tasks
from trainers.data.tasks.own_checks import TaskChecker
from trainers.data.tasks.own_files import split_own_tasks, write_own_tasks
from trainers.data.tasks.task import read_tasks

console = Console(highlight=False)
AnyTask = Task | OwnTask


@dataclass(frozen=True)
class RunTasks:
    """
    Tasks for reinforcement learning.

    Attributes:
        training: Tasks to train on.
        held_out: Tasks to measure with.
        compiled: Further tasks to train on, whose completions only have to compile.
    """

    training: Sequence[AnyTask]
    held_out: Sequence[AnyTask]
    compiled: Sequence[Task] = ()

    @property
    def all(self) -> tuple[AnyTask, ...]:
        """All tasks, whatever they are for."""
        return (*self.training, *self.held_out, *self.compiled)

    @property
    def are_conversations(self) -> bool:
        """Whether some prompt is a conversation."""
        return any(not isinstance(task.prompt, str) for task in self.all)

    def fitting(self, tokenizer: PreTrainedTokenizerFast, room: int) -> "RunTasks":
        """Return the tasks whose prompts have at most `room` tokens."""
        training, held_out, compiled = (
            [task for task in part if _length(task, tokenizer) <= room]
            for part in (self.training, self.held_out, self.compiled)
        )
        return RunTasks(training, held_out, compiled)


def keep_own_tasks(data: DataSettings, folder: Path, resume: bool) -> None:
    """
    Check the user's tasks and keep the usable ones in the folder of a run.

    Args:
        data: Settings; without a `task_file` nothing is done.
        folder: The run's folder.
        resume: Leave the tasks as they are if they are there already.

    Raises:
        ValueError: A row is no task, or no task is usable.
        CodeExecutionNotAllowed: Without `HF_ALLOW_CODE_EVAL=1`.
    """
    path = folder / OWN_TASKS_FILE
    if data.task_file is None or (resume and path.exists()):
        return
    console.print(f"Checking the tasks of {data.task_file}: solutions must pass, wrong answers must not", markup=False)
    contamination = Contamination(load_benchmarks().benchmarks) if data.decontaminate else None
    with RustVerifier(run_timeout=1.0) as verifier:
        checked = TaskChecker(verifier, data.task_crates, contamination).check(read_own_tasks(data.task_file))
    if checked.refused:
        print_table(plain_console(), checked.table())
    console.print(checked.summary(), markup=False)
    if not checked.accepted:
        raise ValueError(f"data.task_file must hold usable tasks, got none: {checked.refused[0]}")
    write_own_tasks(list(checked.accepted.values()), path)


def read_run_tasks(data: DataSettings, folder: Path) -> RunTasks:
    """
    Read the tasks of a run from its folder.

    Some made tasks of known families are held out, or those of other families where there are none; of the user's
    tasks those that `split_own_tasks` names.

    Raises:
        ValueError: A file has other rows than tasks.
    """
    training: list[AnyTask] = []
    held_out: list[AnyTask] = []
    if data.tasks:
        made = split_tasks(read_tasks(folder / TASKS_FILE))
        training += made.prompts
        # A small number of tasks may have none with parameters that are held out.
        held_out += made.held_out or made.other_families
    if data.task_file is not None:
        own_training, own_held_out = split_own_tasks(list(read_own_tasks(str(folder / OWN_TASKS_FILE)).values()))
        training += own_training
        held_out += own_held_out
    compiled: list[Task] = []
    if data.compile_tasks:
        compiled += [task for task in read_tasks(folder / COMPILE_TASKS_FILE) if task.split == "train"]
    if data.compile_functions:
        compiled += read_tasks(folder / COMPILE_FUNCTIONS_FILE)
    return RunTasks(training, held_out, compiled)


def check_conversations(tasks: RunTasks, tokenizer: PreTrainedTokenizerFast) -> None:
    """
    Check that a run can train on conversations, if its tasks have some.

    Raises:
        ValueError: Only some of the tasks are conversations, one has several messages, or the tokenizer has no chat
            template.
    """
    if not tasks.are_conversations:
        return
    for task in tasks.all:
        if isinstance(task.prompt, str) or len(task.prompt) != 1:
            raise ValueError(
                "all tasks of a run must be texts, or all conversations of one message of the user (data.tasks, "
                "data.compile_tasks and data.compile_functions make texts); there are conversations, and task "
                f"{task.id} is none of one message"
            )
    if not tokenizer.chat_template:
        raise ValueError("messages need a model whose tokenizer has a chat template; give prompts that are texts")


def _length(task: AnyTask, tokenizer: PreTrainedTokenizerFast) -> int:
    if isinstance(task.prompt, str):
        return len(tokenizer(task.prompt)["input_ids"])
    messages = [dict(each) for each in task.prompt]
    text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    assert isinstance(text, str), "one conversation is one text"
    return len(tokenizer(text, add_special_tokens=False)["input_ids"])
