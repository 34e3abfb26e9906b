"""Runs of a benchmark at the same time, each in a process of its own on its share of the cores."""

import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue

import psutil
from rich.progress import track


def run_all(commands: Sequence[tuple[Path, Sequence[str]]], jobs: int) -> None:
    """
    Run commands, and wait until all have ended.

    Args:
        commands: Folder of each run, which is made, and its command; the output is added to `output.txt` there.
        jobs: Number of commands at the same time. They share no cores, as far as there are enough.

    Raises:
        RuntimeError: A command failed; the others have ended, too.
    """
    cores = psutil.Process().cpu_affinity()
    shares: Queue[list[int]] = Queue()
    for job in range(jobs):
        shares.put(cores[job::jobs] or [cores[job % len(cores)]])

    def run(folder: Path, command: Sequence[str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        share = shares.get()
        try:
            with (folder / "output.txt").open("a") as output:
                process = subprocess.Popen(command, stdout=output, stderr=output, stdin=subprocess.DEVNULL)
                psutil.Process(process.pid).cpu_affinity(share)
                status = process.wait()
        finally:
            shares.put(share)
        if status != 0:
            raise RuntimeError(f"{folder.name} failed with status {status}, see {folder / 'output.txt'}")

    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(run, folder, command) for folder, command in commands]
        for future in track(futures, "training"):
            future.result()
