"""
Count the steps until a small new model copies from its context, by the blocks of repeated tokens that it reads.

    python benchmarks/copying_steps.py --jobs 2 --report docs/copying_steps.md

A schedule is a row of block lengths: the model reads blocks of one length until it predicts nine tenths of the tokens
that an earlier pair tells, and then goes on with the next. A finished training is not repeated.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:1] = [str(ROOT), str(ROOT / "benchmarks")]

from reporting import (
    Columns,
    add_report,
    documented_command,
    keep_results,
    machine,
    new_parser,
    replace_json,
    restore_results,
)

from evaluation.options import add_output_dir


@dataclass(frozen=True)
class Arm:
    """
    A way to learn copying.

    Attributes:
        lengths: Lengths of the blocks, one after the other.
        only_told: Whether only tokens that an earlier pair tells are labels, or all tokens.
        optimizer: `adamw`, or `muon_lion` with the peak rates of `RATES`.
    """

    lengths: tuple[int, ...]
    only_told: bool = True
    optimizer: str = "adamw"

    def __str__(self) -> str:
        labels = "told tokens" if self.only_told else "all tokens"
        optimizer = {"adamw": "AdamW", "muon_lion": "Muon and Lion"}[self.optimizer]
        return f"{', then '.join(map(str, self.lengths))} tokens; {labels}; {optimizer}"


ARMS = {
    "growing": Arm((16, 64, 256)),
    "growing_all_labels": Arm((16, 64, 256), only_told=False),
    "growing_muon": Arm((16, 64, 256), optimizer="muon_lion"),
    "middle": Arm((64, 256)),
    "middle_all_labels": Arm((64, 256), only_told=False),
    "long": Arm((256,)),
    "long_all_labels": Arm((256,), only_told=False),
}

if __name__ == "__main__":
    # `--help` needs no PyTorch.
    parser = new_parser(__doc__)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS), help="schedules to compare")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="seeds of weights and blocks")
    parser.add_argument("--most", type=int, default=1200, help="maximum number of steps with one block length")
    parser.add_argument("--jobs", type=int, default=1, help="number of trainings at the same time, one core each")
    parser.add_argument("--only", metavar="ARM:SEED", help="do this training alone, in this process")
    add_output_dir(parser, "folder of the results", Path("results/copying_steps"))
    add_report(parser, "docs/copying_steps.md")
    options = parser.parse_args()

import numpy as np
import torch
from processes import run_all

from modeling_nanochat import LoopLMConfig, LoopLMForCausalLM
from trainers.data.collator import collate_blocks
from trainers.data.repeated_tokens import RepeatedTokens
from trainers.optimizers import muon_and_lion

VOCABULARY, BOS = 1024, 0
MODEL: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_shared_layers": 2,
    "num_loops": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "ternary_group_size": 128,
}
TOKENS = 1024
"""Tokens per step; a measurement reads eight times as many."""
WARMUP, EVERY, ENOUGH = 50, 25, 0.9
RATES = {"adamw": (2e-3,), "muon_lion": (1e-2, 5e-4)}
HELD_OUT_SEED = 2**31


def train(name: str, seed: int, options: argparse.Namespace) -> None:
    """Train with one schedule and one seed, and write the steps that each block length took."""
    arm = ARMS[name]
    torch.manual_seed(seed)
    model = LoopLMForCausalLM(LoopLMConfig(**MODEL))
    if arm.optimizer == "adamw":
        optimizer = torch.optim.AdamW(model.parameters(), lr=RATES["adamw"][0], betas=(0.9, 0.95), weight_decay=0.0)
    else:
        optimizer = muon_and_lion(model, *RATES["muon_lion"], weight_decay=0.0, lion="torch")
    peaks = [group["lr"] for group in optimizer.param_groups]
    done = 0
    steps: dict[int, int] = {}
    right: dict[int, float] = {}
    for length in arm.lengths:
        blocks = blocks_of(length, count=options.most * TOKENS // length, seed=seed)
        for step in range(1, options.most + 1):
            done += 1
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * min(1, done / WARMUP)
            rows = range((step - 1) * TOKENS // length, step * TOKENS // length)
            batch = collate_blocks([blocks[row] for row in rows])
            labels = batch["labels"] if arm.only_told else batch["input_ids"]
            model(input_ids=batch["input_ids"], labels=labels).loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            if step % EVERY == 0:
                right[length] = share_right(model, length)
                print(f"{length} tokens, step {step}: {right[length]:.1%}", flush=True)
                if right[length] >= ENOUGH:
                    steps[length] = step
                    break
        if length not in steps:
            break
    replace_json(result_file(name, seed, options), {"setup": setup_of(name, options), "steps": steps, "right": right})


def blocks_of(length: int, count: int, seed: int) -> RepeatedTokens:
    """Blocks of repeated tokens of all ids but that of bos."""
    return RepeatedTokens(np.delete(np.arange(VOCABULARY), BOS), BOS, length, count, seed)


def share_right(model: LoopLMForCausalLM, length: int) -> float:
    """Share of right predictions of the tokens that an earlier pair tells, in blocks that are not trained on."""
    blocks = blocks_of(length, 8 * TOKENS // length, HELD_OUT_SEED)
    batch = collate_blocks([blocks[row] for row in range(len(blocks))])
    model.eval()
    with torch.no_grad():
        likeliest = model(input_ids=batch["input_ids"]).logits[:, :-1].argmax(-1)
    model.train()
    labels = batch["labels"][:, 1:]
    return float((likeliest == labels)[labels >= 0].float().mean())


def setup_of(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """What decides about a training but its seed."""
    arm = ARMS[name]
    return {"arm": [list(arm.lengths), arm.only_told, arm.optimizer], "most": options.most, "model": MODEL}


def result_file(name: str, seed: int, options: argparse.Namespace) -> Path:
    """File with the results of a training."""
    return options.output_dir / f"{name}_seed_{seed}.json"


def is_finished(name: str, seed: int, options: argparse.Namespace) -> bool:
    """Whether a training with the same setup is finished."""
    file = result_file(name, seed, options)
    return file.exists() and json.loads(file.read_text())["setup"] == setup_of(name, options)


def table(results: Mapping[str, Sequence[Mapping[str, Mapping[str, float]]]], most: int) -> Columns:
    """Steps by schedule and block length: the median of the seeds, with the fewest and the most."""

    def cell(found: Sequence[Mapping[str, Mapping[str, float]]], length: int) -> str:
        reached = sorted(result["steps"][str(length)] for result in found if str(length) in result["steps"])
        begun = [result["right"][str(length)] for result in found if str(length) in result["right"]]
        if not begun:
            return ""
        if len(reached) < len(begun):
            return f"{len(reached)} of {len(begun)} in {most:,} ({min(begun):.0%} to {max(begun):.0%} right)"
        return f"{median(reached):,.0f} ({reached[0]:,} to {reached[-1]:,})"

    lengths = sorted({length for arm in ARMS.values() for length in arm.lengths})
    rows = [[str(ARMS[name]), *(cell(found, length) for length in lengths)] for name, found in results.items()]
    return Columns(("Blocks; labels; optimizer", *(f"{length} tokens" for length in lengths)), 1, rows)


def page(shown: Columns, seeds: Sequence[int], most: int) -> str:
    """The Markdown page."""
    width, blocks = MODEL["hidden_size"], MODEL["num_shared_layers"]
    return f"""# Steps until a model copies

Written by

```bash
{documented_command("copying_steps.py")}
```

on {machine()}, torch {torch.__version__}. Seeds {", ".join(map(str, seeds))}.

A new ternary model of width {width} with {blocks} blocks reads nothing but `repeated_tokens`
([training.md](training.md)), {TOKENS:,} tokens in a step, from a vocabulary of {VOCABULARY:,}. The numbers are the
steps with blocks of each length until the model predicts {ENOUGH:.0%} of those tokens of held-out blocks that
an earlier pair tells: the median of the seeds, with the fewest and the most; a training ends where a
length takes more than {most:,}. Labels are either the tokens that an earlier pair tells, as in stages with
`repeated_tokens`, or all. AdamW's rate is {RATES["adamw"][0]:g}, Muon's {RATES["muon_lion"][0]:g} and Lion's
{RATES["muon_lion"][1]:g}; other rates were not tried here.

{shown.markdown()}
"""


def main(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Train what is missing, and write the page."""
    for name, least in (("most", EVERY), ("jobs", 1)):
        if getattr(options, name) < least:
            parser.error(f"--{name} must be at least {least}, got {getattr(options, name)}")
    if options.only:
        name, _, seed = options.only.partition(":")
        return train(name, int(seed), options)
    if options.report is not None:
        restore_results(options.report.with_suffix(".json"), options.output_dir)
    runs = [(name, seed) for seed in options.seeds for name in options.arms]
    only = [sys.executable, *sys.argv, "--only"]
    missing = [(name, seed) for name, seed in runs if not is_finished(name, seed, options)]
    run_all([(options.output_dir / name, [*only, f"{name}:{seed}"]) for name, seed in missing], options.jobs)
    results = {
        name: [json.loads(result_file(name, seed, options).read_text()) for seed in options.seeds]
        for name in options.arms
    }
    shown = table(results, options.most)
    print(shown.markdown())
    if options.report is not None:
        options.report.write_text(page(shown, options.seeds, options.most))
        files = [result_file(name, seed, options).name for name, seed in runs]
        keep_results(options.output_dir, files, options.report.with_suffix(".json"))


if __name__ == "__main__":
    main(parser, options)
