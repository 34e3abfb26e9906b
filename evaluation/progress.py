"""Progress of long work: a bar on a terminal; in a pipe or a file a line from time to time."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

SECONDS_BETWEEN_LINES = 30.0
LEAST_SECONDS_BETWEEN_LINES = 1.0
Advance = Callable[[int], None]
"""Function that adds to the amount that is done."""


def shows_bars() -> bool:
    """Whether stderr is a terminal, which can redraw a line."""
    return sys.stderr.isatty()


def write_line(text: str) -> None:
    """Write a line to stdout without breaking a bar that is shown."""
    tqdm.write(text)


@contextmanager
def show_progress(
    description: str, total: int | None, unit: str = "", done: int = 0, shown: bool = True
) -> Iterator[Advance]:
    """
    Show the progress of some work on stderr; yield the function that advances it.

    In a pipe a line is written after each tenth of the work (at most one per second) or else every 30 seconds, and one
    at the end; none for work of less than a second.

    Args:
        description: What is done, such as "Sampling".
        total: Amount of work; None if it is not known.
        unit: Unit of the amount; "B" for bytes, shown as kB, MB or GB.
        done: Amount that was done before.
        shown: False shows nothing.
    """
    if not shown:
        yield lambda count: None
    elif shows_bars():
        with tqdm(
            total=total, initial=done, desc=description, unit=unit or "it", unit_scale=unit == "B", leave=False
        ) as bar:
            yield bar.update
    else:
        lines = _Lines(description, total, unit, done)
        yield lines.advance
        lines.end()


def hide_library_bars() -> None:
    """Turn off the bars of the Hugging Face libraries for this process, unless stderr is a terminal."""
    if shows_bars():
        return
    import datasets
    import huggingface_hub.utils
    import transformers.utils.logging

    for library in (datasets, huggingface_hub.utils):
        library.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()


class _Lines:
    def __init__(self, description: str, total: int | None, unit: str, done: int):
        self.description, self.total, self.unit = description, total, unit
        self.done = self.done_at_last_line = done
        self.started = self.last_line = time.monotonic()

    def advance(self, count: int) -> None:
        self.done += count
        seconds = time.monotonic() - self.last_line
        tenth = self.total is not None and self.done - self.done_at_last_line >= self.total / 10
        if seconds >= SECONDS_BETWEEN_LINES or (tenth and seconds >= LEAST_SECONDS_BETWEEN_LINES):
            self._write()

    def end(self) -> None:
        quick = time.monotonic() - self.started < LEAST_SECONDS_BETWEEN_LINES
        if self.done > self.done_at_last_line and not quick:
            self._write()

    def _write(self) -> None:
        self.last_line, self.done_at_last_line = time.monotonic(), self.done
        words = f"{self.description}: {_amount(self.done, self.unit)}"
        if self.total:
            share = f"{self.done / self.total:.0%}"
            words = f"{self.description}: {share} of {_amount(self.total, self.unit)}"
        print(f"{words}, {self.last_line - self.started:.0f} s", file=sys.stderr, flush=True)


def _amount(count: int, unit: str) -> str:
    if unit == "B":
        return tqdm.format_sizeof(count, suffix="B", divisor=1000)
    return f"{count:,} {unit}".rstrip()
