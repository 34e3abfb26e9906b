"""The tables, the page and the plot of `inference.py`."""

import argparse
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import torch
import xllamacpp
from matplotlib.ticker import ScalarFormatter
from reporting import documented_command, machine

from evaluation.figures import panels, save

QUANTITIES = {"prompt": "Reading the prompt", "decode": "Decoding"}
TRANSFORMERS = {"transformers, fp32": torch.float32, "transformers, bf16": torch.bfloat16}


@dataclass(frozen=True)
class Seconds:
    """
    Seconds of a measurement.

    Attributes:
        prompt: CPU time of the whole prompt.
        token: CPU time of one decoded token.
        own: llama.cpp's own timings, in wall-clock time.
    """

    prompt: float
    token: float
    own: dict[str, float] | None = None


@dataclass(frozen=True)
class Result:
    """
    Medians of a contender at a depth.

    Attributes:
        prompt, decode: Tokens per second of CPU time.
        read_speed: Maximum bytes per second at which one thread reads as many bytes as the weights have.
        bound: Tokens per second if decoding only read the weights, at that speed.
        rounds: Measurements of each round.
    """

    contender: str
    megabytes: float
    loops: int
    prompt: float
    decode: float
    read_speed: float
    bound: float
    rounds: list[Seconds]


def table(header: list[str], rows: list[list[str]]) -> str:
    """Return a table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def number(value: float) -> str:
    """Format a number with three digits, or all digits before the point."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def by_depth(results: list[Result], quantity: str) -> str:
    """Return a table of one quantity by depth, with a row for each contender."""
    depths = sorted({each.loops for each in results})
    names = list(dict.fromkeys(each.contender for each in results))
    values = {(each.contender, each.loops): getattr(each, quantity) for each in results}
    rows = [[name, *(number(values[name, depth]) for depth in depths)] for name in names]
    return table(["", *(f"{depth} loop{'s' * (depth > 1)}" for depth in depths)], rows)


def at_full_depth(results: list[Result]) -> str:
    """Return the table of all contenders at full depth."""
    full = [each for each in results if each.loops == max(each.loops for each in results)]
    rows = [
        [
            each.contender,
            number(each.megabytes),
            number(each.prompt),
            number(each.decode),
            f"{each.decode / full[0].decode:.1f}",
            number(each.read_speed / 1e9),
            number(each.bound),
            f"{each.decode / each.bound:.0%}",
        ]
        for each in full
    ]
    header = [
        "",
        "MB",
        "prompt, tokens/s",
        "decode, tokens/s",
        f"decode / {full[0].contender}",
        "read, GB/s",
        "bound, tokens/s",
        "of the bound",
    ]
    return table(header, rows)


def write_report(results: list[Result], description: str, options: argparse.Namespace) -> None:
    """Write the page, which includes the plot."""
    loops = max(each.loops for each in results)
    options.report.write_text(f"""# Speed of inference

Written by

```bash
{documented_command("inference.py")}
```

{description}
One thread on {machine()};
torch {torch.__version__}, xllamacpp {xllamacpp.__version__}.

All engines ran the same weights in turns: a prompt of {options.prompt} tokens, then {options.tokens} decoded tokens.
The tables show medians over {options.rounds} rounds. Times are CPU times, because other programs used the machine as
well. Compare the rows with each other only.

## {loops} loops

{at_full_depth(results)}

"MB" is the size of the file (for transformers, of the parameters in that dtype). "read" is the
memory bandwidth of one thread: the fastest PyTorch sum over an array as large as the weights.
"bound" is this bandwidth divided by the bytes that are read for a token, {loops} x blocks + head. Weights
that fit into the CPU's cache are read from there in all loops but the first, and so is an array of
their size. The rest of the time is unpacking, rounding of activations, attention, and in
transformers the time between kernels. A share above 100% means that the engine reads faster than
PyTorch's sum, or was disturbed less by other programs. llama.cpp has no x86 kernel for `q2_0`.

## By number of loops

Decoded tokens per second:

{by_depth(results, "decode")}

Prompt tokens per second:

{by_depth(results, "prompt")}

![prompt and decoded tokens per second, by number of loops]({options.report.with_suffix(".png").name})
""")


def plot(results: list[Result], path: Path) -> None:
    """Plot tokens per second by depth, for the prompt and for decoding, on the same scale."""
    figure, axes = panels(1, 2, width=6.2, height=5)
    names = list(dict.fromkeys(each.contender for each in results))
    for axis, (quantity, title) in zip(axes, QUANTITIES.items(), strict=True):
        for index, name in enumerate(names):
            own = [each for each in results if each.contender == name]
            axis.plot(
                [each.loops for each in own],
                [getattr(each, quantity) for each in own],
                "s--" if name in TRANSFORMERS else "o-",
                color=matplotlib.colormaps["tab10"](index % 10),
                label=name,
            )
        axis.set(title=title, xlabel="loops of every token", yscale="log")
        axis.set_ylabel("tokens per second of CPU time, one thread")
        axis.set_xticks(sorted({each.loops for each in results}))
        axis.yaxis.set_major_formatter(ScalarFormatter())
    limits = [limit for axis in axes for limit in axis.get_ylim()]
    for axis in axes:
        axis.set_ylim(min(limits), max(limits))
    axes[1].legend(loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False)
    save(figure, path)
