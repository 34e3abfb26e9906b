"""
Measure the native engine by itself: batches, threads, early exit, start and memory.

    python benchmarks/native_engine.py --report docs/native_engine.md

The model is random, of the shape `150m` of `benchmarks/inference.py`, with int8 activations and groups of 128. Cases
of a table take turns in one run, and medians over the rounds are reported. On one thread, tokens per second are of
CPU time, which other processes disturb less; with several threads all are of wall time. `benchmarks/inference.py`
compares the engine with transformers and llama.cpp.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from reporting import Columns, add_output, add_report, documented_command, machine, new_parser, write_json

if __name__ == "__main__":
    # `--help` needs no PyTorch.
    parser = new_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds; medians are reported")
    parser.add_argument("--prompt", type=int, default=64, help="tokens of the prompt")
    parser.add_argument("--new-tokens", type=int, default=32, help="decoded tokens of each text")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 16, 64], help="numbers of texts together")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="numbers of threads")
    parser.add_argument("--tiny", action="store_true", help="a small model, to test this script")
    add_output(parser, "results/benchmarks/native_engine.json")
    add_report(parser, "docs/native_engine.md")
    options = parser.parse_args()

import torch
from native_engine_start import Start, measure_start
from rich.console import Console

# A script sees only its own folder.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from modeling_nanochat import LoopLMConfig, LoopLMForCausalLM
from runtime.engine import Engine
from runtime.settings import HEAD_FORMATS, SamplingSettings

LARGE = dict(vocab_size=50304, hidden_size=1024, intermediate_size=2816, num_shared_layers=8, num_attention_heads=16)
LARGE |= dict(num_key_value_heads=4)
TINY = dict(vocab_size=512, hidden_size=256, intermediate_size=512, num_shared_layers=2, num_attention_heads=4)
LOOPS = 4
Case = tuple[str, ...]
"""Cells that name a case."""
Run = Callable[[int], tuple[float, float]]
"""Generates a number of tokens, and returns the seconds that it took and the mean number of loops."""


@dataclass(frozen=True)
class Speed:
    """
    Speed of a case.

    Attributes:
        case: Cells that name it.
        seconds: Seconds per token: of CPU time with one thread, otherwise of wall time.
        loops: Mean number of loops per token.
    """

    case: Case
    seconds: float
    loops: float


def random_model(tiny: bool) -> LoopLMForCausalLM:
    """Return a random model of 4 loops, whose tokens leave at different depths."""
    torch.manual_seed(0)
    more = dict(num_loops=LOOPS, ternary_group_size=128, tie_word_embeddings=True, mhc_num_streams=1)
    model = LoopLMForCausalLM(LoopLMConfig.from_dict((TINY if tiny else LARGE) | more)).eval()
    with torch.no_grad():
        model.model.exit_gate.weight.normal_(std=0.5 / model.config.hidden_size**0.5)
    return model


def in_turns(cases: Mapping[Case, Run], new_tokens: int, rounds: int) -> list[Speed]:
    """
    Measure cases in turns.

    Args:
        cases: What to measure, by name.
        new_tokens: Number of tokens to decode after the first one, which belongs to the prompt.
        rounds: Number of rounds.
    """
    found: dict[Case, list[tuple[float, float]]] = {name: [] for name in cases}
    for _ in range(rounds + 1):
        for name, run in cases.items():
            (prompt, _), (everything, loops) = run(1), run(1 + new_tokens)
            found[name].append(((everything - prompt) / new_tokens, loops))
    # The first round warms up.
    return [
        Speed(name, statistics.median(each for each, _ in turns[1:]), turns[-1][1]) for name, turns in found.items()
    ]


def case(engine: Engine, prompt: list[int], batch: int, wall: bool, exit_threshold: float | None = None) -> Run:
    """Return a function that generates tokens of a batch, see `in_turns`; seconds are per text."""
    clock = time.perf_counter if wall else time.process_time

    def run(tokens: int) -> tuple[float, float]:
        settings = SamplingSettings(
            max_new_tokens=tokens,
            temperature=1.0,
            num_return_sequences=batch,
            batch_size=batch,
            exit_threshold=exit_threshold,
        )
        started = clock()
        completions = engine.generate([prompt], settings)
        seconds = clock() - started
        # The first token comes from the prompt, which runs all loops.
        loops = [each for completion in completions for each in completion.loops_used[1:]]
        return seconds / batch, statistics.fmean(loops) if loops else LOOPS

    return run


def by_batch(model: LoopLMForCausalLM, prompt: list[int], given: argparse.Namespace) -> list[Speed]:
    """Measure batches by format of the head, on one thread."""
    engines = {head: Engine.from_model(model, threads=1, head=head) for head in HEAD_FORMATS}
    cases: dict[Case, Run] = {
        (head, str(batch)): case(engine, prompt, batch, wall=False)
        for batch in given.batches
        for head, engine in engines.items()
    }
    return in_turns(cases, given.new_tokens, given.rounds)


def by_threads(model: LoopLMForCausalLM, prompt: list[int], given: argparse.Namespace) -> list[Speed]:
    """Measure numbers of threads, by wall time."""
    engines = {threads: Engine.from_model(model, threads=threads, head="int8") for threads in given.threads}
    cases: dict[Case, Run] = {
        (str(batch), str(threads)): case(engine, prompt, batch, wall=True)
        for batch in given.batches
        for threads, engine in engines.items()
    }
    return in_turns(cases, given.new_tokens, given.rounds)


def by_exit(model: LoopLMForCausalLM, prompt: list[int], given: argparse.Namespace) -> list[Speed]:
    """Measure exit thresholds, on one thread and one text."""
    engine = Engine.from_model(model, threads=1, head="int8")
    cases: dict[Case, Run] = {
        (str(threshold),): case(engine, prompt, 1, wall=False, exit_threshold=threshold)
        for threshold in (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)
    }
    return in_turns(cases, given.new_tokens, given.rounds)


def batch_table(speeds: list[Speed]) -> Columns:
    """Tokens per second by head and batch."""
    first = {each.case[0]: each.seconds for each in reversed(speeds)}
    rows = [
        [*each.case, f"{1 / each.seconds:.1f}", f"{first[each.case[0]] / each.seconds:.2f}"]
        for each in sorted(speeds, key=lambda each: HEAD_FORMATS.index(each.case[0]))
    ]
    return Columns(("Head", "Texts together", "Tokens/s", "Times the first"), 1, rows)


def thread_table(speeds: list[Speed]) -> Columns:
    """Tokens per second by batch and threads."""
    first = {each.case[0]: each.seconds for each in reversed(speeds)}
    rows = [[*each.case, f"{1 / each.seconds:.1f}", f"{first[each.case[0]] / each.seconds:.2f}"] for each in speeds]
    return Columns(("Texts together", "Threads", "Tokens/s (wall)", "Times the first"), 0, rows)


def exit_table(speeds: list[Speed]) -> Columns:
    """Loops and time saved by threshold."""
    full = speeds[0]
    rows = [
        [
            *each.case,
            f"{each.loops:.2f}",
            f"{1 - each.loops / full.loops:.0%}",
            f"{1e3 * each.seconds:.2f}",
            f"{1 - each.seconds / full.seconds:.0%}",
        ]
        for each in speeds
    ]
    return Columns(("Threshold", "Loops per token", "Loops saved", "ms per token", "Time saved"), 0, rows)


def start_table(start: Start) -> Columns:
    """Seconds and bytes of a start."""
    loaded, packed = start.loaded_bytes / 1e6, start.packed_bytes / 1e6
    rows = [
        ["first use: compiling the library, s", f"{start.compile_seconds:.1f}"],
        ["later use: finding and loading the library, ms", f"{1e3 * start.start_seconds:.1f}"],
        ["packed file, MB", f"{packed:.1f}"],
        ["growth of the process by loading it, MB", f"{loaded:.1f}"],
        ["loaded / packed", f"{loaded / packed:.2f}"],
        [f"keys and values of {start.positions} positions by their sizes, MB", f"{start.cache_bytes / 1e6:.1f}"],
        ["growth of the process by a text of as many tokens, MB", f"{start.generation_bytes / 1e6:.1f}"],
    ]
    return Columns(("Start and memory", "Value"), 1, rows)


def page(given: argparse.Namespace, model: LoopLMForCausalLM, tables: dict[str, Columns]) -> str:
    """Return the Markdown page."""
    parameters = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    head = (
        "# Speed and memory of the native engine\n\nWritten by\n\n"
        f"```bash\n{documented_command('native_engine.py')}\n```\n\n"
        f"A random model of {parameters:.0f} million parameters, {model.config.num_shared_layers} blocks of width "
        f"{model.config.hidden_size},\n{LOOPS} loops, {model.config.vocab_size} tokens, on {machine()}.\n"
        f"A prompt of {given.prompt} tokens and {given.new_tokens} decoded tokens; medians of {given.rounds} rounds.\n"
        "`cargo run --release --example kernel_speed` in `runtime/` measures the products alone, and the\n"
        "highest speed of the processor's integer instructions.\n"
    )
    texts = {
        "Batches": "One thread, CPU time. A text's share of a step with several texts is cheaper because the\n"
        "weights are read once for all of them.",
        "Threads": "Wall time, head in int8. Other programs of the machine lower the gain.",
        "Early exit": "One text, one thread, CPU time, head in int8. The head and the choice of the token take the\n"
        "same time at every depth.",
        "Start and memory": "Each in a process of its own.",
    }
    parts = [f"## {title}\n\n{texts[title]}\n\n{table.markdown()}\n" for title, table in tables.items()]
    return "\n".join([head, *parts])


def main(given: argparse.Namespace) -> None:
    """Measure, print and write the results."""
    torch.set_num_threads(1)
    model = random_model(given.tiny)
    generator = torch.Generator().manual_seed(0)
    prompt = torch.randint(3, model.config.vocab_size, (given.prompt,), generator=generator).tolist()
    with tempfile.TemporaryDirectory() as folder:
        start = measure_start(model, Path(folder), given.prompt + given.new_tokens)
    batches, threads, exits = (measure(model, prompt, given) for measure in (by_batch, by_threads, by_exit))
    tables = {
        "Batches": batch_table(batches),
        "Threads": thread_table(threads),
        "Early exit": exit_table(exits),
        "Start and memory": start_table(start),
    }
    for title, table in tables.items():
        Console().print(table.rich(title))
    results = {"batches": batches, "threads": threads, "exits": exits}
    rows = {name: [asdict(each) for each in speeds] for name, speeds in results.items()}
    write_json(given.output, {"machine": machine(), "torch": torch.__version__, "start": asdict(start)} | rows)
    if given.report:
        given.report.write_text(page(given, model, tables))
        print(f"Written to {given.report}")


if __name__ == "__main__":
    main(options)
