"""Work on many shards in several processes, which end with their parent however it ends."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import TypeVar

from evaluation.rust.sandbox.isolation import die_with_parent

Task = TypeVar("Task")
Result = TypeVar("Result")


def check_num_workers(num_workers: int | None) -> int:
    """Return the number of workers, by default one for each processor. Raises `ValueError` if it is below 1."""
    if num_workers is None:
        return len(os.sched_getaffinity(0))
    if num_workers < 1:
        raise ValueError(f"num_workers must be at least 1, got {num_workers}")
    return num_workers


def run_tasks(
    function: Callable[[Task], Result], tasks: Sequence[Task], num_workers: int
) -> Iterator[tuple[Task, Result]]:
    """
    Call a function for each task in worker processes; yield each task with its result as it is finished.

    With one worker, or one task, everything runs in this process. After an error no further task is started.

    Args:
        function: A function of a module, which a new process can import.
        tasks: Values that can be pickled.
        num_workers: Number of processes.
    """
    if num_workers == 1 or len(tasks) < 2:
        for task in tasks:
            yield task, function(task)
        return
    # A fork would copy the threads' locks of this process.
    processes = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(num_workers, len(tasks)), processes, _start_worker, (os.getpid(),)) as pool:
        started = {pool.submit(function, task): task for task in tasks}
        try:
            for finished in as_completed(started):
                yield started[finished], finished.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _start_worker(parent: int) -> None:
    # The parent handles Ctrl-C.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent(signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
