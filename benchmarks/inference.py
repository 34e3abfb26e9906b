"""
Measure prompt and decoding speed of a model in Transformers, in the native engine and in llama.cpp, by type and by
depth, on one thread.

    python benchmarks/inference.py --shape 150m --report docs/inference.md

All contenders have the same weights (random ones, or those of `--model`) and take turns in one run: `generate` of
Transformers in fp32 and bf16, the native engine, and stock llama.cpp (the wheel `xllamacpp`) with a file of every
type. The report has tokens per second of CPU time, which other processes disturb less than wall time, as medians over
the rounds; llama.cpp's own timings, in wall time, are in the JSON.

Decoding is bound by memory: every token reads the looped blocks once per loop, and the head once. The bound in the
report is the speed at which one thread reads as many bytes again and again, measured in the same rounds. Small weights
stay in the CPU's cache between the loops and are read faster.
"""

import argparse
import copy
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from model_cards.gguf.blocks import FORMATS

SHAPES: dict[str, dict[str, Any]] = {
    "tiny": dict(
        vocab_size=512,
        hidden_size=256,
        intermediate_size=512,
        num_shared_layers=2,
        num_attention_heads=4,
    ),
    "debug": dict(
        vocab_size=4096,
        hidden_size=256,
        intermediate_size=768,
        num_shared_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
    ),
    "150m": dict(
        vocab_size=50304,
        hidden_size=1024,
        intermediate_size=2816,
        num_shared_layers=8,
        num_attention_heads=16,
        num_key_value_heads=4,
    ),
}

from reporting import add_output, add_report, new_parser

from evaluation.options import add_former_name

if __name__ == "__main__":
    # `--help` needs no PyTorch.
    parser = new_parser(__doc__)
    parser.add_argument("--shape", choices=SHAPES, default="debug", help="shape of the random model")
    parser.add_argument("--model", type=Path, help="folder of a saved model with its tokenizer, instead of a shape")
    add_former_name(
        parser,
        "--loops",
        parser.add_argument(
            "--num-loops", type=int, dest="loops", help="largest number of loops (default: the model's own number)"
        ),
    )
    parser.add_argument(
        "--types", nargs="+", choices=FORMATS, help="types of the files (default: all that fit the model)"
    )
    parser.add_argument("--prompt", type=int, default=64, help="number of tokens in the prompt")
    parser.add_argument("--tokens", type=int, default=16, help="number of tokens to decode")
    parser.add_argument("--rounds", type=int, default=3, help="number of rounds; medians are reported")
    add_output(parser, "results/inference.json")
    add_report(parser, "docs/inference.md, with a PNG beside it")
    options = parser.parse_args()

import torch
import xllamacpp
from inference_report import TRANSFORMERS, Result, Seconds, at_full_depth, by_depth, machine, plot, write_report
from rich.progress import Progress
from transformers import PreTrainedTokenizerFast, StoppingCriteria, StoppingCriteriaList

from model_cards.checkpoint import LoopLMCheckpoint
from model_cards.gguf.export import export_gguf
from model_cards.gguf.file import GgufFile
from model_cards.gguf.limits import config_obstacles
from model_cards.gguf.verify import LlamaCpp
from modeling_nanochat import LoopLMConfig, LoopLMForCausalLM
from runtime.engine import Engine
from runtime.settings import SamplingSettings
from trainers.data.tokenizer import train_tokenizer

ROOT = Path(__file__).resolve().parent.parent
BUILTIN_RUST = ROOT / "trainers" / "data" / "builtin_rust"
# Bytes that no cache holds; larger weights are read no slower.
LARGEST_READ = 2**28


@dataclass(frozen=True)
class Contender:
    """
    An engine with a type of weights.

    Attributes:
        name: Name in tables.
        megabytes: Size of the weights' file.
        block_bytes, head_bytes: Bytes of the looped blocks and of the head that decoding reads.
        run: Measures seconds of CPU time of the prompt and of each decoded token at a number of loops.
    """

    name: str
    megabytes: float
    block_bytes: int
    head_bytes: int
    run: Callable[[int], "Seconds"]

    def bytes_per_token(self, loops: int) -> int:
        """Bytes that are read to decode a token."""
        return loops * self.block_bytes + self.head_bytes


class _Clock(StoppingCriteria):
    """Criterion that never stops, but records the time of each token."""

    def __init__(self):
        self.ticks: list[float] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **kwargs) -> torch.Tensor:
        self.ticks.append(time.process_time())
        return torch.zeros(len(input_ids), dtype=torch.bool)


def run_transformers(model: LoopLMForCausalLM, ids: list[int], tokens: int, loops: int) -> Seconds:
    """Time greedy `generate`, after a first call that caches the quantized weights."""
    prompt = torch.tensor([ids])
    with model.model.cached_weights():
        for length in (1, tokens + 1):
            clock = _Clock()
            started = time.process_time()
            model.generate(
                prompt,
                attention_mask=torch.ones_like(prompt),
                do_sample=False,
                max_new_tokens=length,
                min_new_tokens=length,
                num_loops=loops,
                stopping_criteria=StoppingCriteriaList([clock]),
            )
    return Seconds(clock.ticks[0] - started, (clock.ticks[-1] - clock.ticks[0]) / tokens)


def run_llama_cpp(file: GgufFile, ids: list[int], tokens: int, loops: int) -> Seconds:
    """Time llama.cpp; the number of loops is set in the file's metadata, because the wheel has no override."""
    with file.path.open("r+b") as stream:
        stream.seek(file.value_offsets["nanbeige.num_loops"])
        stream.write(loops.to_bytes(4, "little"))
    with LlamaCpp(file.path, context=len(ids) + tokens + 1, precise=False) as engine:
        engine.complete(ids[:1], 1)
        started = time.process_time()
        prompt = engine.complete(ids, 1, reuse=False)
        after_prompt = time.process_time()
        # The last token of a cached prompt is run again, so this runs `tokens` passes of one token.
        decode = engine.complete(ids, tokens)
        finished = time.process_time()
    own = {
        "prompt_per_second": prompt["timings"]["prompt_per_second"],
        "predicted_per_second": decode["timings"]["predicted_per_second"],
    }
    return Seconds(after_prompt - started, (finished - after_prompt) / tokens, own)


def run_native(engine: Engine, ids: list[int], tokens: int, loops: int) -> Seconds:
    """Time greedy generation by the native engine: a prompt with one token, and the same with all tokens."""
    ticks = [time.process_time()]
    for length in (1, tokens + 1):
        engine.generate([ids], SamplingSettings(max_new_tokens=length, num_loops=loops))
        ticks.append(time.process_time())
    prompt = ticks[1] - ticks[0]
    return Seconds(prompt, (ticks[2] - ticks[1] - prompt) / tokens)


def read_speed(memory: torch.Tensor, size: int) -> float:
    """Maximum bytes per second of CPU time at which one thread reads the given part of `memory` again and again."""
    array = memory[: max(1, size // memory.itemsize)]
    array.sum()
    repeats = max(1, memory.nbytes // array.nbytes)
    seconds = []
    for _ in range(3):
        started = time.process_time()
        for _ in range(repeats):
            array.sum()
        seconds.append(time.process_time() - started)
    return repeats * array.nbytes / min(seconds)


def random_model(config: LoopLMConfig) -> tuple[LoopLMForCausalLM, PreTrainedTokenizerFast]:
    """An untrained model and a tokenizer, which may have fewer tokens than the model's embedding has rows."""
    torch.manual_seed(0)
    texts = [path.read_text() for path in sorted(BUILTIN_RUST.glob("*.rs"))]
    tokenizer = train_tokenizer(texts, min(config.vocab_size, 4096), config.max_position_embeddings)
    return LoopLMForCausalLM(config).eval(), tokenizer


def contenders(
    model: LoopLMForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    types: list[str],
    folder: Path,
    ids: list[int],
    tokens: int,
) -> list[Contender]:
    """Make all contenders; their files are written to `folder`."""
    head = model.lm_head.weight.numel()
    blocks = sum(
        module.weight.numel()
        for layer in model.model.layers
        for module in layer.modules()
        if isinstance(module, torch.nn.Linear)
    )
    found = []
    for name, dtype in TRANSFORMERS.items():
        typed = copy.deepcopy(model).to(dtype)
        parameters = sum(parameter.nbytes for parameter in typed.parameters())
        found.append(
            Contender(
                name,
                parameters / 1e6,
                blocks * dtype.itemsize,
                head * dtype.itemsize,
                lambda loops, typed=typed: run_transformers(typed, ids, tokens, loops),
            )
        )
    for format, head_bytes in (("bf16", 2 * head), ("int8", head)):
        engine = Engine.from_model(model, threads=1, head=format)
        found.append(
            Contender(
                f"native engine, {format} head",
                engine.weight_bytes / 1e6,
                blocks // 4,
                head_bytes,
                lambda loops, engine=engine: run_native(engine, ids, tokens, loops),
            )
        )
    head_name = "token_embd.weight" if model.config.tie_word_embeddings else "output.weight"
    for type in types:
        file = export_gguf(LoopLMCheckpoint.from_model(model), tokenizer, folder / f"{type}.gguf", type=type)
        matrices = sum(
            tensor.nbytes
            for name, tensor in file.tensors.items()
            if name.startswith("blk.") and len(tensor.shape) == 2
        )
        found.append(
            Contender(
                f"llama.cpp, {type}",
                file.nbytes / 1e6,
                matrices,
                file.tensors[head_name].nbytes,
                lambda loops, file=file: run_llama_cpp(file, ids, tokens, loops),
            )
        )
    return found


def measure(entrants: list[Contender], loops: int, prompt: int, rounds: int) -> list[Result]:
    """Measure every contender at every depth, in turns."""
    seconds: dict[tuple[str, int], list[Seconds]] = {}
    speeds: dict[str, list[float]] = {}
    memory = torch.ones(LARGEST_READ // 4)
    with Progress(transient=True) as progress:
        task = progress.add_task("measuring", total=rounds * len(entrants) * loops)
        for _ in range(rounds):
            for each in entrants:
                for depth in range(1, loops + 1):
                    speed = read_speed(memory, each.block_bytes + each.head_bytes)
                    speeds.setdefault(each.name, []).append(speed)
                    seconds.setdefault((each.name, depth), []).append(each.run(depth))
                    progress.advance(task)
    results = []
    for each in entrants:
        speed = max(speeds[each.name])
        for depth in range(1, loops + 1):
            turns = seconds[each.name, depth]
            results.append(
                Result(
                    each.name,
                    each.megabytes,
                    depth,
                    prompt / statistics.median(turn.prompt for turn in turns),
                    1 / statistics.median(turn.token for turn in turns),
                    speed,
                    speed / each.bytes_per_token(depth),
                    turns,
                )
            )
    return results


def main(options: argparse.Namespace) -> None:
    """Measure, print and write the results."""
    torch.set_num_threads(1)
    if options.model:
        model = LoopLMForCausalLM.from_pretrained(options.model, dtype=torch.float32).eval()
        tokenizer = PreTrainedTokenizerFast.from_pretrained(options.model)
        description = f"The model {options.model.name}:"
    else:
        # One scale per tensor, which every type can hold.
        model, tokenizer = random_model(LoopLMConfig(**SHAPES[options.shape], ternary_group_size=-1))
        description = f"A random model of the shape `{options.shape}`:"
    config = model.config
    parameters = sum(parameter.numel() for parameter in model.parameters())
    description += (
        f" {parameters / 1e6:.0f} million parameters, {config.num_shared_layers} blocks of width "
        f"{config.hidden_size}, {config.vocab_size} tokens."
    )
    types = options.types or [type for type in FORMATS if not config_obstacles(config, type)]
    ids = torch.randint(3, len(tokenizer), (options.prompt,), generator=torch.Generator().manual_seed(0)).tolist()
    with tempfile.TemporaryDirectory() as folder:
        entrants = contenders(model, tokenizer, types, Path(folder), ids, options.tokens)
        results = measure(entrants, options.loops or config.num_loops, options.prompt, options.rounds)

    print(f"{description} One thread on {machine()}.\n\n{at_full_depth(results)}\n\nDecoded tokens per second:\n")
    print(by_depth(results, "decode"))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    summary = {
        "description": description,
        "machine": machine(),
        "torch": torch.__version__,
        "xllamacpp": xllamacpp.__version__,
        "prompt": options.prompt,
        "tokens": options.tokens,
        "results": [asdict(each) for each in results],
    }
    options.output.write_text(json.dumps(summary, indent=2) + "\n")
    if options.report:
        write_report(results, description, options)
        plot(results, options.report.with_suffix(".png"))
        print(f"\nWritten to {options.report}")


if __name__ == "__main__":
    main(options)
