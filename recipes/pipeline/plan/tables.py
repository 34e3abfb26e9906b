"""A plan as tables and sentences, for the terminal and for a page."""

from collections.abc import Iterator
from dataclasses import fields

from rich.console import Console
from rich.table import Table

from evaluation.tables import print_table
from recipes.pipeline.plan.fit import StageMemory
from recipes.pipeline.plan.memory import GIB, RESERVE, Memory
from recipes.pipeline.plan.plan import Plan
from recipes.pipeline.plan.speed import UTILIZATIONS
from recipes.pipeline.plan.supply import prepared_text
from recipes.pipeline.plan.targets import verdicts

PROSE = ("finding", "target")
"""Columns that may be folded."""


def print_plan(console: Console, plan: Plan) -> None:
    """Print the plan."""
    console.print(f"{plan.recipe.name}: {plan.recipe.description}", style="bold", markup=False)
    for part in parts(plan):
        if isinstance(part, Table):
            print_table(console, part, prose=PROSE)
        else:
            console.print(part, markup=False)
    for line in prepared_text(plan.recipe):
        # Paths stay whole.
        console.print(line, markup=False, soft_wrap=True)


def parts(plan: Plan) -> Iterator[str | Table]:
    """Sentences and tables of a plan, in their order."""
    yield size(plan)
    yield work_table(plan)
    yield speed_table(plan)
    yield needed(plan)
    for memory in plan.memories:
        yield memory_table(plan, memory)
        yield choice(plan, memory)
    if plan.parallel:
        yield parallel_table(plan)
    yield disk(plan)
    yield f"{plan.export}."
    if list(verdicts(plan)):
        yield verdict_table(plan)


def size(plan: Plan) -> str:
    """Sentence about the parameters and the GPU."""
    counts = plan.counts
    packed = (
        "" if counts.packed_bytes is None else f" Packed weights are a file of {counts.packed_bytes / 1e6:,.1f} MB."
    )
    cards = plan.gpu.name if plan.num_gpus == 1 else f"{plan.num_gpus} x {plan.gpu.name}"
    return (
        f"{counts.unique:,} parameters, {counts.ternary:,} of them ternary; {counts.applied:,} are applied to a token "
        f"in {plan.loops} loops.{packed} Planned for {cards}: {plan.gpu.memory / GIB:.1f} GiB and "
        f"{plan.gpu.peak_flops / 1e12:,.1f} TFLOP/s in bf16{'' if plan.num_gpus == 1 else ' each'}"
        f"{_fraction(plan)}.{_assumed(plan)}"
    )


def _assumed(plan: Plan) -> str:
    if not plan.is_assumed_gpu:
        return ""
    return (
        " This machine has no GPU whose speed is known, so that one was assumed; --gpu plans for another. Runs on a "
        "CPU are not planned: the progress of a run shows its speed."
    )


def _fraction(plan: Plan) -> str:
    fraction = plan.recipe.hardware.gpu_memory_fraction
    return "" if fraction == 1 else f"; hardware.gpu_memory_fraction={fraction:g} leaves {plan.limit / GIB:.1f} GiB"


def needed(plan: Plan) -> str:
    """Sentence about the tokens that the stages read."""
    tokens = sum(work.tokens for work in plan.works)
    planned = {work.stage for work in plan.works}
    others = [each.name for each in plan.recipe.active_stages if each.name not in planned and not each.closes_run]
    missing = f" Time and memory of {' and '.join(others)} are not planned." if others else ""
    return f"The stages on text read {_count(tokens)} tokens, repetitions included.{missing}"


def _count(tokens: int) -> str:
    if tokens >= 1e8:
        return f"{tokens / 1e9:,.2f} B"
    return f"{tokens / 1e6:,.2f} M" if tokens >= 1e5 else f"{tokens:,}"


def work_table(plan: Plan) -> Table:
    """Table of the work of the stages on text."""
    table = Table(title="Stages on text: tokens, and GFLOPs per token for MFU and executed")
    table.add_column("stage")
    for name in ("steps", "tokens per step", "tokens", "GFLOP", "executed"):
        table.add_column(name, justify="right")
    for work in plan.works:
        table.add_row(
            work.stage,
            f"{work.steps:,}",
            f"{work.tokens_per_step:,}",
            _count(work.tokens),
            f"{work.model_flops / 1e9:.1f}",
            f"{work.executed_flops / 1e9:.1f}",
        )
    return table


def speed_table(plan: Plan) -> Table:
    """Table of the speed of the stages on text by MFU."""
    table = Table(title="Tokens per second and time by MFU (a share of the peak, not a measurement)")
    table.add_column("stage")
    for share in UTILIZATIONS:
        table.add_column(f"{share:.0%}", justify="right")
    for work in plan.works:
        cells = (
            f"{work.tokens_per_second(plan.gpu, plan.num_gpus, share):,.0f}/s, "
            f"{_time(work.days(plan.gpu, plan.num_gpus, share))}"
            for share in UTILIZATIONS
        )
        table.add_row(work.stage, *cells)
    return table


def _time(days: float) -> str:
    if days >= 1:
        return f"{days:,.1f} days"
    hours = days * 24
    return f"{hours:,.1f} h" if hours >= 1 else f"{hours * 60:,.1f} min"


def memory_table(plan: Plan, memory: StageMemory) -> Table:
    """Table of the memory of a stage, by part and recomputation."""
    per = " per GPU" if plan.num_gpus > 1 else ""
    rows = _rows(memory.rows)
    title = f"Memory{per} of stage {memory.stage} at its peak, in GiB: micro-batches of {rows} x {memory.seq_len:,}"
    table = Table(title=title)
    table.add_column("part")
    for fit in memory.fits:
        table.add_column(fit.checkpointing, justify="right")
    for field in fields(Memory):
        values = [getattr(fit.memory, field.name) for fit in memory.fits]
        if field.name == "teacher" and not any(values):
            continue
        table.add_row(field.name.replace("_", " "), *(f"{value / GIB:.2f}" for value in values))
    table.add_row("CUDA and reserve", *(f"{RESERVE / GIB:.2f}" for _ in memory.fits))
    table.add_section()
    table.add_row("total", *(f"{fit.memory.total / GIB:.2f}" for fit in memory.fits))
    table.add_row("fits", *("yes" if fit.memory.total <= memory.limit else "no" for fit in memory.fits))
    table.add_row("largest micro-batch", *(str(fit.largest) if fit.largest else "none" for fit in memory.fits))
    return table


def choice(plan: Plan, memory: StageMemory) -> str:
    """Sentence about the cheapest recomputation that fits."""
    cheapest, size = memory.cheapest, f"{memory.memory.total / GIB:.2f} GiB"
    if cheapest is None:
        return f"Stage {memory.stage} does not fit this GPU, not even one row at a time."
    if memory.setting == "auto":
        rows = _rows(memory.micro_batch)
        return f"training.checkpointing=auto takes {memory.checkpointing}, with micro-batches of {rows}: {size}."
    sentence = (
        f"The cheapest that fits is checkpointing={cheapest.checkpointing}, with micro-batches of "
        f"{_rows(cheapest.largest)}"
    )
    if cheapest.checkpointing == memory.checkpointing:
        return f"{sentence}: the recipe's."
    fits = "fits, too" if memory.memory.total <= memory.limit else "does not fit"
    return f"{sentence}; the recipe's checkpointing={memory.checkpointing} {fits}."


def _rows(number: int) -> str:
    return "1 row" if number == 1 else f"{number} rows"


def parallel_table(plan: Plan) -> Table:
    """Table of the ways to use several GPUs."""
    table = Table(title=f"{plan.num_gpus} GPUs: a copy of the model on each (DDP), or shared among them (FSDP2)")
    table.add_column("way")
    for name in ("recomputation", "GiB per GPU", "fits", "GB sent per step", "of a step at 40%"):
        table.add_column(name, justify="right")
    for way in plan.parallel:
        fits = "yes" if way.memory.total <= plan.limit else "no"
        sent, share = f"{way.bytes_per_step / 1e9:.2f}", f"{way.share_of_step:.1%}"
        table.add_row(way.name, way.checkpointing, f"{way.memory.total / GIB:.2f}", fits, sent, share)
    return table


def disk(plan: Plan) -> str:
    """Sentence about the disk."""
    return (
        f"Checkpoints and models of all stages take up to {plan.disk / 1e9:,.1f} GB of disk; packed text takes "
        f"{2 if plan.recipe.model.vocab_size <= 2**16 else 4} GB per billion tokens."
    )


def verdict_table(plan: Plan) -> Table:
    """Table of the design document's targets."""
    table = Table(title="Targets of the design document")
    table.add_column("target")
    table.add_column("finding")
    for verdict in verdicts(plan):
        table.add_row(*verdict)
    return table
