"""
Loop a model that exists: a LoopLM with one loop, such as `convert` writes, becomes one that applies a core of its
layers several times.

    nanochat-ternary loop --model looplm-0.5b --output-dir looped-0.5b
    nanochat-ternary loop --model looplm-0.5b --output-dir looped-0.5b --num-loops 4 --core 8:16

The result computes the same at every depth until it is trained: further loops begin without an effect. Without --core
and --whole-stack the core is the run of layers whose output is most similar to its input on the texts.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from evaluation.options import add_command, add_model, add_output_dir

if TYPE_CHECKING:
    from trainers.conversion.looping import LoopedModel


def add_loop(subcommands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand `loop`."""
    parser = add_command(subcommands, "loop", run_loop, "apply layers of a model with one loop several times", __doc__)
    add_model(parser, help="folder of a LoopLM with one loop")
    add_output_dir(parser, "folder to write; it must not exist")
    parser.add_argument("--num-loops", type=int, default=2, help="number of loops")
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument(
        "--core", metavar="START:END", help="layers to loop, counted from 0, without END (default: by similarity)"
    )
    choice.add_argument(
        "--core-layers", type=int, metavar="N", help="layers of a core chosen by similarity (default: half of them)"
    )
    choice.add_argument("--whole-stack", action="store_true", help="loop all layers")
    parser.add_argument(
        "--texts",
        nargs="+",
        default=[],
        metavar="FILE",
        help=".rs files, folders of them or JSON lines to measure similarity on (default: Rust of this package)",
    )


def run_loop(options: argparse.Namespace) -> int:
    """Run the command; return its exit status."""
    core = None if options.core is None else parse_core(options.core)
    # `--help` needs no PyTorch.
    from trainers.conversion.looping import RECORD, loop_model

    looped = loop_model(
        Path(options.model),
        options.output_dir,
        options.num_loops,
        core,
        options.core_layers,
        options.texts,
        options.whole_stack,
    )
    if looped.runs:
        _print_runs(looped)
    (start, end), layers = looped.core, looped.num_layers
    print(
        f"Wrote {options.output_dir}: prelude 0:{start}, core {start}:{end} in {looped.num_loops} loops, "
        f"coda {end}:{layers}; recorded in {RECORD}"
    )
    return 0


def parse_core(text: str) -> tuple[int, int]:
    """Return the ends of a core. Raises `ValueError` for other texts than START:END."""
    start, separator, end = text.partition(":")
    if not (separator and start.isdecimal() and end.isdecimal()):
        raise ValueError(f"core must be START:END, two layers counted from 0, got {text!r}")
    return int(start), int(end)


def _print_runs(looped: "LoopedModel") -> None:
    from rich.table import Table

    from evaluation.tables import plain_console, print_table

    table = Table(title=f"Angle between input and output of the layers, half turns, {looped.tokens:,} tokens")
    table.add_column("layers")
    table.add_column("mean angle", justify="right")
    table.add_column("")
    for run in looped.runs:
        chosen = (run.start, run.end) == looped.core
        table.add_row(f"{run.start}:{run.end}", f"{run.distance:.4f}", "core" if chosen else "")
    print_table(plain_console(), table)
