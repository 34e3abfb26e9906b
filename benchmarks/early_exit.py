"""
Measure what early exit and `kv_reuse` cost and save in decoding, on a trained model.

    python benchmarks/early_exit.py --text FOLDER_OF_RS_FILES

Without `--model` a small model is first trained on nine tenths of the text and measured on the rest. Texts are cut
into windows. The first tokens of a window are the prompt and are processed in one pass; the others are processed one
by one, as if they had been sampled. For these the report has the loss, the loops per token, the blocks applied per
pass, the tokens per second of CPU time (on a GPU of wall time) and the bytes of the cache at the end. The settings
take turns, batch by batch. Speeds are medians over the batches, and so are their ratios to all loops with
`kv_reuse="none"`.
"""

import argparse
import os
import platform
import random
import shlex
import statistics
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from reporting import Columns, add_output, add_report, new_parser, write_json

from evaluation.options import add_former_name

if __name__ == "__main__":
    # `--help` needs no PyTorch.
    parser = new_parser(__doc__)
    parser.add_argument("--model", help="folder of a trained LoopLM (default: train a small one first)")
    parser.add_argument("--steps", type=int, default=600, help="number of training steps without --model")
    parser.add_argument(
        "--text", type=Path, required=True, help="folder of .rs files, or JSON lines with a column code"
    )
    parser.add_argument("--thresholds", type=float, nargs="+", default=[0.95, 0.8, 0.5], help="exit thresholds")
    parser.add_argument(
        "--prompt-tokens", type=int, default=32, help="tokens at the start of a window that are processed in one pass"
    )
    parser.add_argument("--new-tokens", type=int, default=64, help="further tokens of a window, processed one by one")
    parser.add_argument("--windows", type=int, default=32, help="number of windows, taken evenly from all texts")
    add_former_name(
        parser,
        "--batch",
        parser.add_argument("--batch-size", type=int, default=1, dest="batch", help="number of windows at a time"),
    )
    add_former_name(
        parser,
        "--threads",
        parser.add_argument("--num-threads", type=int, default=1, dest="threads", help="number of threads of PyTorch"),
    )
    add_output(parser, "results/benchmarks/early_exit.json")
    add_report(parser, "docs/early_exit_speed.md")
    options = parser.parse_args()

import torch
from rich.console import Console
from torch.nn.utils import clip_grad_norm_
from transformers import DynamicCache, PreTrainedTokenizerBase

from evaluation.loading import load_model
from evaluation.suites.perplexity import read_texts
from modeling_nanochat import LoopLMConfig, LoopLMForCausalLM, is_looplm
from trainers.data.tokenizer import train_tokenizer


@dataclass
class Setting:
    """Settings of decoding, and the measurements."""

    kv_reuse: str
    depth: dict[str, float]
    loss: float = 0.0
    """Sum over all tokens, in nats; `loops`, `blocks` and `passes` are sums as well."""
    loops: int = 0
    blocks: int = 0
    passes: int = 0
    cache_bytes: int = 0
    tokens_per_second: list[float] = field(default_factory=list)
    """Speed of each batch of windows."""

    @property
    def name(self) -> str:
        """Name in the table."""
        ((kind, value),) = self.depth.items()
        return f"loop {value}" if kind == "exit_at_loop" else f"q = {value:g}"


def blocks_of(texts: list[str], tokenizer: PreTrainedTokenizerBase, length: int) -> torch.Tensor:
    """Tokens of all texts, (blocks, length)."""
    ids = [token for text in texts for token in tokenizer(text, verbose=False)["input_ids"]]
    return torch.tensor(ids[: len(ids) // length * length], dtype=torch.long).view(-1, length)


def train_small_model(texts: list[str], steps: int, console: Console) -> tuple[LoopLMForCausalLM, object]:
    """Train a model of two ternary blocks and four loops with the paper's loss."""
    torch.manual_seed(0)
    tokenizer = train_tokenizer(texts, 1024, 1024)
    config = LoopLMConfig(
        vocab_size=1024,
        hidden_size=128,
        intermediate_size=384,
        num_shared_layers=2,
        num_loops=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
    )
    model = LoopLMForCausalLM(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    blocks = blocks_of(texts, tokenizer, 128)
    with console.status("training a small model") as status:
        for step in range(steps):
            batch = blocks[torch.randint(len(blocks), (8,))]
            output = model(batch, labels=batch, use_cache=False)
            output.loss.backward()
            clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            losses = ", ".join(f"{loss:.2f}" for loss in output.loop_losses.tolist())
            status.update(f"training a small model: step {step + 1} of {steps}, loss by loop {losses}")
    console.print(f"trained {steps} steps; last loss by loop {losses}")
    return model.eval(), tokenizer


def clock(device: torch.device) -> float:
    """Seconds of CPU time of this process; with a GPU, wall time after synchronizing."""
    if device.type == "cuda":
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def cache_bytes(cache: DynamicCache) -> int:
    """Bytes of the keys and values in a cache."""
    layers = [layer for layer in cache.layers if layer.is_initialized]
    return sum(tensor.numel() * tensor.element_size() for layer in layers for tensor in (layer.keys, layer.values))


@torch.no_grad()
def decode(model: LoopLMForCausalLM, rows: torch.Tensor, prompt_tokens: int, setting: Setting) -> None:
    """Decode windows, (batch, tokens), and add the measurements to the setting."""
    model.config.kv_reuse = setting.kv_reuse
    calls = [0]

    def count(*_):
        calls[0] += 1

    cache, seconds = DynamicCache(config=model.config), 0.0
    exit_at_loop = setting.depth.get("exit_at_loop")
    places = range(prompt_tokens, rows.shape[1] - 1)
    with model.model.cached_weights():
        model(rows[:, :prompt_tokens], past_key_values=cache, logits_to_keep=1, exit_at_loop=exit_at_loop)
        hooks = [layer.register_forward_hook(count) for layer in model.model.layers]
        for place in places:
            started = clock(rows.device)
            output = model(rows[:, place : place + 1], past_key_values=cache, **setting.depth)
            seconds += clock(rows.device) - started
            scores = output.logits[:, 0].float().log_softmax(-1)
            setting.loss -= float(scores.gather(1, rows[:, place + 1, None]).double().sum())
            setting.loops += int(output.loops_used.sum())
    for hook in hooks:
        hook.remove()
    setting.blocks += calls[0]
    setting.passes += len(places)
    setting.cache_bytes = max(setting.cache_bytes, cache_bytes(cache))
    setting.tokens_per_second.append(len(rows) * len(places) / seconds)


def page(columns: Columns, options: argparse.Namespace, model: LoopLMForCausalLM) -> str:
    """Return the page of the documentation with the table."""
    config = model.config
    trained = f"trained here for {options.steps} steps" if options.model is None else options.model
    command = shlex.join(["python", "benchmarks/early_exit.py", *sys.argv[1:]])
    return f"""# Speed and loss with early exit and with the cache of one loop

Written by

```bash
{command}
```

A LoopLM of {config.num_shared_layers} blocks, {config.num_loops} loops and width {config.hidden_size}, {trained}.
Held-out texts are fed token by token after a prompt of {options.prompt_tokens} tokens: {options.windows} windows of
{options.new_tokens} tokens, {options.batch} at a time, on {model.device.type} with {options.threads} thread(s). Other
programs may have used the machine as well. "tokens/s" is the median over the windows, and "speed"
the median ratio to the first row, window by window. torch {torch.__version__}.
[early_exit.md](early_exit.md) explains the settings.

{columns.markdown()}

After so short a training, further loops improve the loss little. [exit_gate.md](exit_gate.md)
measures how much each loop improves it, and how well a gate chooses the loop. Measure your own
model with `--model FOLDER`.
"""


def main(parser: argparse.ArgumentParser, options: argparse.Namespace):
    """Measure, print a table and write the results."""
    torch.set_num_threads(options.threads)
    console = Console(highlight=False)
    texts = list(read_texts(options.text).values())
    if options.model is None:
        random.Random(0).shuffle(texts)
        held_out = len(texts) // 10
        model, tokenizer = train_small_model(texts[held_out:], options.steps, console)
        texts = texts[:held_out]
    else:
        model, tokenizer = load_model(options.model)
    if not is_looplm(model.config):
        parser.error(f"--model must be a LoopLM, got a model of type {model.config.model_type}")
    length = options.prompt_tokens + options.new_tokens + 1
    blocks = blocks_of(texts, tokenizer, length)
    if len(blocks) < options.windows:
        parser.error(f"--text must give {options.windows} windows of {length} tokens, got {len(blocks)}")
    chosen = torch.linspace(0, len(blocks) - 1, options.windows).long()
    windows = blocks[chosen].to(model.device)

    depths = [{"exit_threshold": value} for value in (1.0, *options.thresholds)]
    fixed = [{"exit_at_loop": loop} for loop in range(model.config.num_loops - 1, 0, -1)]
    settings = [Setting("none", depth) for depth in (*depths, *fixed)] + [Setting("last", depth) for depth in depths]
    decode(model, windows[: options.batch], options.prompt_tokens, Setting("none", depths[0]))  # warms up
    with console.status("decoding"):
        for rows in windows.split(options.batch):
            for setting in settings:
                decode(model, rows, options.prompt_tokens, setting)

    tokens = options.windows * options.new_tokens
    machine = f"{model.device.type}, {options.threads} threads, batch {options.batch}"
    rows = []
    for setting in settings:
        pairs = zip(setting.tokens_per_second, settings[0].tokens_per_second, strict=True)
        rows.append(
            [
                setting.kv_reuse,
                setting.name,
                f"{setting.loss / tokens:.4f}",
                f"{setting.loops / tokens:.2f}",
                f"{setting.blocks / setting.passes:.2f}",
                f"{statistics.median(setting.tokens_per_second):.0f}",
                f"{statistics.median(own / full for own, full in pairs):.2f}",
                f"{setting.cache_bytes / 1024:.0f}",
            ]
        )
    titles = ("kv_reuse", "depth", "loss, nats", "loops", "blocks per pass", "tokens/s", "speed", "cache, KiB")
    columns = Columns(titles, 2, rows)
    console.print(
        columns.rich(f"{machine}, {options.windows} x {options.prompt_tokens} + {options.new_tokens} tokens")
    )
    report = {
        "benchmark": "early_exit",
        "machine": platform.machine(),
        "device": model.device.type,
        "threads": options.threads,
        "torch": torch.__version__,
        "load": os.getloadavg(),
        "model": options.model,
        "batch": options.batch,
        "windows": options.windows,
        "prompt_tokens": options.prompt_tokens,
        "new_tokens": options.new_tokens,
        "settings": [vars(setting) | {"name": setting.name} for setting in settings],
    }
    write_json(options.output, report)
    if options.report is not None:
        options.report.write_text(page(columns, options, model))


if __name__ == "__main__":
    main(parser, options)
