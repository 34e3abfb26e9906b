"""
Measure whether a small model learns to copy from its context, with and without random tokens that repeat.

    nanochat-ternary train laptop --stage prepare
    python benchmarks/copying.py --prepared runs/laptop --jobs 2 --report docs/copying.md

Trains a model of two blocks on the data of the recipe `laptop`, on text and then on solutions of tasks, with equally
many tokens in every arm, some of which are of `repeated_tokens`. A finished training is not repeated: `--arms` and
`--seeds` may name a part of them, and later calls the others. One that was stopped goes on from its last checkpoint.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from recipes.pipeline.schema import Recipe


@dataclass(frozen=True)
class Arm:
    """
    A way to spend the steps.

    Attributes:
        title: Name in tables.
        alone: Share of the steps before the tasks that read nothing but repeated tokens, in the blocks of `GROWING`.
        beside: Share of repeated tokens in the other steps.
        in_tasks: Share of repeated tokens in the steps on tasks.
    """

    title: str
    alone: float
    beside: float
    in_tasks: float


ARMS = {
    "text": Arm("text alone", 0.0, 0.0, 0.0),
    "beside": Arm("half of the blocks of text, a tenth of those of tasks", 0.0, 0.5, 0.1),
    "first": Arm("half of the steps before text, then a tenth of all blocks", 0.5, 0.1, 0.1),
    "first_only": Arm("half of the steps before text, then none", 0.5, 0.0, 0.0),
}
GROWING = {16: 0.75, 64: 0.15, 256: 0.1}
"""Lengths of the blocks of repeated tokens before text, one after the other, with their shares of those steps."""
SHORT, LONG = 64, 256
TOKENS = 1024
"""Tokens per step."""

if __name__ == "__main__":
    # `--help` needs no PyTorch.
    parser = new_parser(__doc__)
    parser.add_argument("--prepared", type=Path, help="folder of a run of laptop with its data; trainings need it")
    parser.add_argument(
        "--models",
        type=Path,
        nargs="+",
        default=[],
        help="folders of trained models to measure; --finished: these alone",
    )
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS), help="arms to compare")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="seeds of weights and order of text")
    parser.add_argument("--steps", type=int, default=1600, help="steps on text and repeated tokens")
    parser.add_argument("--task-steps", type=int, default=800, help="steps on solutions of tasks after them")
    parser.add_argument("--jobs", type=int, default=1, help="number of trainings at the same time, one core each")
    parser.add_argument("--finished", action="store_true", help="show the finished trainings, and start no others")
    parser.add_argument("--only", metavar="ARM:SEED", help="do this training alone, in this process")
    add_output_dir(parser, "folder of the trainings", Path("results/copying"))
    add_report(parser, "docs/copying.md")
    options = parser.parse_args()

import numpy as np
import torch
from processes import run_all
from torch.nn import functional as F
from transformers import PreTrainedTokenizerFast

from evaluation.loss_by_depth import evaluation_mode
from modeling_nanochat import LoopLMForCausalLM
from recipes.laptop import laptop
from recipes.pipeline.prepare import read_prepared
from recipes.pipeline.pretrain import pretrain
from recipes.pipeline.stages.pretrain import Pretrain, Sft
from trainers.data.repeated_tokens import RepeatedTokens, told_tokens
from trainers.data.tasks.task import Task, read_tasks

HELD_OUT = {"held_out_parameters": "known families", "held_out_family": "new families"}
MODEL = {
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_shared_layers": 2,
    "num_loops": 1,
    "ternary_group_size": 128,
}
MODELS, SETUP = "models.json", "setup.json"
SHORTEST_TRAINING = 200
"""Minimum number of steps: half of them have a warmup of 50 and as long a decay."""
HELD_OUT_SEED = 2**31
"""Seed of the repeated tokens that are measured on."""
TASKS = 120
"""Maximum number of held-out tasks of each kind."""


def recipe_of(arm: Arm, name: str, seed: int, options: argparse.Namespace) -> "Recipe":
    """The recipe of a training."""
    alone = {length: round(options.steps * arm.alone * share) for length, share in GROWING.items()}
    rates: dict[str, Any] = {"peak_lr": 2e-3, "warmup_steps": 50}

    def decayed(steps: int) -> dict[str, Any]:
        return {"total_steps": steps, "batch_size": TOKENS // LONG, "seq_len": LONG, "decay_steps": steps // 2}

    mix = {"tasks": 4.0, "text": 1.0}
    stages = (
        *(
            Pretrain(
                name=f"copying_{length}",
                total_steps=steps,
                batch_size=TOKENS // length,
                seq_len=length,
                peak_lr=rates["peak_lr"],
                warmup_steps=min(20, steps),
                repeated_tokens=1.0,
            )
            for length, steps in alone.items()
        ),
        Pretrain(repeated_tokens=arm.beside, **decayed(options.steps - sum(alone.values())), **rates),
        Sft(repeated_tokens=arm.in_tasks, **decayed(options.task_steps), peak_lr=1e-3, mix=mix),
    )
    return replace(laptop(), stages=stages, name=f"{name}_seed_{seed}", output_dir=options.output_dir).changed(
        model=MODEL, training={"seed": seed, "save_steps": 400, "logging_steps": 50}
    )


def train(name: str, seed: int, options: argparse.Namespace) -> None:
    """Train an arm with a seed, and write what is measured of it after each stage."""
    recipe = recipe_of(ARMS[name], name, seed, options)
    replace_json(recipe.run_dir / SETUP, setup_of(name, options))
    prepared = read_prepared(recipe, options.prepared / "prepare")
    tasks = read_tasks(options.prepared / "tasks.jsonl")
    found: dict[str, Any] = {"setup": setup_of(name, options)}
    previous: Path | None = None
    for stage in recipe.active_stages:
        assert isinstance(stage, Pretrain)
        result = pretrain(recipe, stage, prepared, previous)
        previous = recipe.stage_dir(stage) / "model"
        model = LoopLMForCausalLM.from_pretrained(previous)
        found[stage.name] = {
            "text": result.held_out_loss[-1],
            "repeated": repeated_accuracy(model, prepared.tokenizer),
            "prompt": {split: prompt_words(model, prepared.tokenizer, tasks, split) for split in HELD_OUT},
        }
    replace_json(result_file(name, seed, options), found)


def setup_of(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """What decides about a training but its seed."""
    arm = ARMS[name]
    shares = [arm.alone, arm.beside, arm.in_tasks, *map(list, GROWING.items())]
    return {"steps": options.steps, "task_steps": options.task_steps, "shares": shares, "model": MODEL}


def result_file(name: str, seed: int, options: argparse.Namespace) -> Path:
    """File with the results of a training."""
    return options.output_dir / f"{name}_seed_{seed}.json"


def is_of_setup(name: str, seed: int, options: argparse.Namespace) -> bool:
    """Whether what an earlier call left of a training, if anything, has the same setup."""
    result, begun = result_file(name, seed, options), options.output_dir / f"{name}_seed_{seed}" / SETUP
    found = [json.loads(result.read_text())["setup"]] if result.exists() else []
    found += [json.loads(begun.read_text())] if begun.exists() else []
    return all(setup == setup_of(name, options) for setup in found)


def repeated_accuracy(model: LoopLMForCausalLM, tokenizer: PreTrainedTokenizerFast) -> float:
    """Share of tokens predicted rightly, of those in random blocks that an earlier occurrence of the pair tells."""
    blocks = RepeatedTokens.of(tokenizer, SHORT, count=64, seed=HELD_OUT_SEED)
    ids = torch.from_numpy(np.stack([blocks[index]["input_ids"] for index in range(len(blocks))]))
    with torch.no_grad(), evaluation_mode(model):
        likeliest = model(input_ids=ids).logits[:, :-1].argmax(-1)
    told = torch.from_numpy(np.stack([told_tokens(block)[1:] for block in ids.numpy()]))
    return float((likeliest == ids[:, 1:])[told].float().mean())


def prompt_words(
    model: LoopLMForCausalLM, tokenizer: PreTrainedTokenizerFast, tasks: Sequence[Task], split: str
) -> dict[str, float]:
    """
    Return the mean loss (nats per token) and the accuracy on those tokens of held-out solutions that are words or
    numbers and stand in the prompt.
    """
    losses, right = [], []
    with torch.no_grad(), evaluation_mode(model):
        for task in [task for task in tasks if task.split == split][:TASKS]:
            prompt, ids = (tokenizer(text)["input_ids"][0] for text in ([task.prompt], [task.code]))
            logits = model(input_ids=torch.tensor([ids])).logits[0, :-1].float()
            labels = torch.tensor(ids[1:])
            given = set(prompt)
            copied = torch.tensor(
                [
                    place >= len(prompt) and token in given and any(map(str.isalnum, tokenizer.decode([token])))
                    for place, token in enumerate(ids)
                ][1:]
            )
            losses.append(F.cross_entropy(logits, labels, reduction="none")[copied])
            right.append((logits.argmax(-1) == labels)[copied].float())
    return {"loss": float(torch.cat(losses).mean()), "accuracy": float(torch.cat(right).mean())}


def table(results: Mapping[tuple[str, int], Mapping[str, Any]], stage: str) -> Columns:
    """The arms after a stage: means over the seeds, with the lowest and the highest."""

    def over_seeds(name: str, value: Any, form: str) -> str:
        found = [value(result[stage]) for (arm, _), result in results.items() if arm == name]
        if not found:
            return ""
        spread = f" ({min(found):{form}} to {max(found):{form}})" if len(found) > 1 else ""
        return f"{mean(found):{form}}{spread}"

    columns = [
        ("Held-out text, nats", lambda found: found["text"], ".2f"),
        ("Repeated tokens", lambda found: found["repeated"], ".0%"),
    ]
    for split, words in HELD_OUT.items():
        columns += [
            (f"Words of the prompt, {words}", lambda found, split=split: found["prompt"][split]["accuracy"], ".1%"),
            (f"their loss, {words}", lambda found, split=split: found["prompt"][split]["loss"], ".2f"),
        ]
    rows = []
    for name, arm in ARMS.items():
        if any(arm_name == name for arm_name, _ in results):
            rows.append([arm.title, *(over_seeds(name, value, form) for _, value, form in columns)])
    return Columns(("Repeated tokens are", *(title for title, _, _ in columns)), 1, rows)


def measure_models(options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """
    Measure the models of `--models` on repeated tokens, with their own number of loops; return these and those of
    earlier calls, by the names of their folders.
    """
    file = options.output_dir / MODELS
    found = json.loads(file.read_text()) if file.exists() else {}
    for folder in options.models:
        model = LoopLMForCausalLM.from_pretrained(folder)
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
        # The folders of a run are all named `model`.
        name = "/".join(folder.parts[-3:-1]) if folder.name == "model" else folder.name
        found[name] = {"loops": model.config.num_loops, "repeated": repeated_accuracy(model, tokenizer)}
        replace_json(file, found)
    return found


def table_of_models(models: Mapping[str, Mapping[str, Any]]) -> Columns:
    """The share of repeated tokens that each model predicts rightly."""
    rows = [[name, str(found["loops"]), f"{found['repeated']:.0%}"] for name, found in models.items()]
    return Columns(("Model", "Loops", "Repeated tokens"), 1, rows)


def page(
    results: Mapping[tuple[str, int], Mapping[str, Any]],
    models: Mapping[str, Mapping[str, Any]],
    options: argparse.Namespace,
) -> str:
    """The Markdown page."""
    seeds = ", ".join(map(str, sorted({seed for _, seed in results})))
    lengths = ", ".join(map(str, GROWING))
    width, blocks, loops = (MODEL[name] for name in ("hidden_size", "num_shared_layers", "num_loops"))
    return f"""# Learning to copy

Written by

```bash
nanochat-ternary train laptop --stage prepare
{documented_command("copying.py")}
```

on {machine()}, torch {torch.__version__}. Seeds {seeds}.

A program uses the names and numbers of its description, so that a model has to copy them from its
context. `repeated_tokens` is the share of the blocks of a stage that are no text but a random sequence
of tokens that repeats: nothing but its earlier occurrence tells how it goes on. Here a ternary model of
width {width} with {blocks} blocks and {loops} loop reads the data of the recipe `laptop` for {options.steps:,} steps
of {TOKENS:,} tokens, and then solutions of tasks for {options.task_steps:,} steps; in every arm the repeated tokens
take the place of text. Those before text come in blocks of {lengths} tokens, one after the other, all others
in blocks of {LONG}.

"Repeated tokens" is the share of right predictions where an earlier pair tells the next token. "Words
of the prompt" is that share among the tokens of solutions of held-out tasks that are words or numbers and
stand in the prompt, with their mean loss in nats; for families of tasks that were trained on with other
parameters, and for others. Means over the seeds, with the lowest and the highest.

## After text

{table(results, "pretrain").markdown()}

## After solutions of tasks

{table(results, "sft").markdown()}

## Trained models

{table_of_models(models).markdown() if models else "None was measured."}
"""


def main(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Train what is missing, and write the page."""
    for name, least in (("steps", SHORTEST_TRAINING), ("task_steps", 1), ("jobs", 1)):
        if getattr(options, name) < least:
            parser.error(f"--{name.replace('_', '-')} must be at least {least}, got {getattr(options, name)}")
    for folder in options.models:
        if not (folder / "config.json").is_file():
            parser.error(f"--models must be folders of saved models, got {folder}")
    needed = options.prepared is not None or not options.finished
    if needed and not (options.prepared and (options.prepared / "prepare" / "finished.json").is_file()):
        parser.error(f"--prepared must be the folder of a run with prepared data, got {options.prepared}")
    if options.only:
        name, _, seed = options.only.partition(":")
        return train(name, int(seed), options)
    if options.report is not None:
        restore_results(options.report.with_suffix(".json"), options.output_dir)
    runs = [(name, seed) for seed in options.seeds for name in options.arms]
    for name, seed in runs:
        if not is_of_setup(name, seed, options):
            parser.error(f"--output-dir must hold trainings of the same setup, got another one of {name}, seed {seed}")
    models = measure_models(options)
    if models:
        print(table_of_models(models).markdown())
    if not options.finished:
        missing = [(name, seed) for name, seed in runs if not result_file(name, seed, options).exists()]
        only = [sys.executable, *sys.argv, "--only"]
        commands = [(options.output_dir / f"{name}_seed_{seed}", [*only, f"{name}:{seed}"]) for name, seed in missing]
        run_all(commands, options.jobs)
    files = {(name, seed): result_file(name, seed, options) for name, seed in runs}
    results = {run: json.loads(file.read_text()) for run, file in files.items() if file.exists()}
    if not results and models:
        return
    if not results:
        parser.error(f"--finished needs a finished training in {options.output_dir}, or --models")
    print(table(results, "sft").markdown())
    if options.report is not None:
        options.report.write_text(page(results, models, options))
        keep_results(options.output_dir, ["*_seed_*.json", MODELS], options.report.with_suffix(".json"))


if __name__ == "__main__":
    main(parser, options)
