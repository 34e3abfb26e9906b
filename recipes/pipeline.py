"""The pipeline every recipe goes through: prepare the data, pretrain, report."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from accelerate import PartialState
from accelerate.utils import set_seed
from datasets import Dataset, load_from_disk
from rich.console import Console
from rich.table import Table
from transformers import AutoTokenizer, DataCollatorForLanguageModeling, PreTrainedTokenizerFast
from transformers.trainer_callback import ProgressCallback
from transformers.trainer_utils import get_last_checkpoint

from evaluation.suites.perplexity import loss_by_depth
from modeling_nanochat import LoopLMConfig, LoopLMForCausalLM
from recipes.schema import Recipe
from trainers.callbacks import LoopProgressCallback, MetricsFileCallback
from trainers.data.pack import pack_blocks
from trainers.data.sources import Row, read_rows
from trainers.data.tokenizer import check_special_tokens, special_token_ids, train_tokenizer
from trainers.pretraining import LoopLMTrainer, pretraining_arguments

console = Console(highlight=False)


@dataclass(frozen=True)
class Prepared:
    """Result of the first stage: the tokenizer and the packed blocks."""

    tokenizer: PreTrainedTokenizerFast
    training: Dataset
    validation: Dataset


@dataclass(frozen=True)
class Pretrained:
    """
    Result of the second stage.

    Attributes:
        model: The trained model.
        folder: Where it is saved.
        tokens: Tokens seen in training.
        tokens_per_second: Of the training loop; None when it was already finished before this call.
    """

    model: LoopLMForCausalLM
    folder: Path
    tokens: int
    tokens_per_second: float | None


def split_rows(rows: list[Row], validation_fraction: float) -> tuple[list[Row], list[Row]]:
    """Training and validation rows; which is which depends on a row's code alone, and at least one is held out."""
    threshold = int(validation_fraction * 2**32)
    held_out = [row for row in rows if int(row.id[:8], 16) < threshold] or rows[-1:]
    held_out_ids = {row.id for row in held_out}
    return [row for row in rows if row.id not in held_out_ids], held_out


def prepare(recipe: Recipe, folder: Path) -> Prepared:
    """Read the data, train the tokenizer, pack the blocks; what an earlier call with the same settings made is used."""
    settings = json.loads(json.dumps(asdict(recipe.data), default=str))
    marker = folder / "prepared.json"
    if not (marker.exists() and json.loads(marker.read_text())["settings"] == settings):
        shutil.rmtree(folder, ignore_errors=True)
        rows = read_rows(recipe.data.data_dir)
        if len(rows) < 2:
            raise ValueError(f"data.data_dir must hold at least two different files, got {len(rows)}")
        for source, count in Counter(row.source for row in rows).items():
            size = sum(len(row.code) for row in rows if row.source == source)
            console.print(f"  {source:<16} {count:>6,} texts  {size / 1e6:>6.2f} MB")
        training, validation = split_rows(rows, recipe.data.validation_fraction)
        # Blocks of one text lie together otherwise, and what is cut off at the end would be one source's.
        training.sort(key=lambda row: row.id)
        tokenizer = train_tokenizer((row.code for row in training), recipe.data.vocab_size, recipe.data.seq_len)
        tokenizer.save_pretrained(folder / "tokenizer")
        for name, part in (("training", training), ("validation", validation)):
            blocks = pack_blocks([row.code for row in part], tokenizer, recipe.data.seq_len)
            blocks.save_to_disk(folder / name)
        marker.write_text(json.dumps({"settings": settings, "texts": len(rows)}, indent=2) + "\n")
    tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
    return Prepared(tokenizer, load_from_disk(folder / "training"), load_from_disk(folder / "validation"))


def build_model(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> LoopLMForCausalLM:
    """A fresh model of the recipe's shape for this tokenizer; its vocabulary is as large as the recipe says."""
    settings = recipe.model.to_dict() | special_token_ids(tokenizer) | {"vocab_size": recipe.data.vocab_size}
    set_seed(recipe.training.seed)
    model = LoopLMForCausalLM(LoopLMConfig.from_dict(settings))
    check_special_tokens(tokenizer, model)
    return model


def pretrain(recipe: Recipe, prepared: Prepared, folder: Path) -> Pretrained:
    """Train with the Trainer; continues from the last checkpoint in `folder`, and does nothing when it is finished."""
    training = recipe.training
    processes = PartialState().num_processes
    if training.batch_size % (training.micro_batch_size * processes):
        raise ValueError(
            f"training.batch_size must be a multiple of micro_batch_size={training.micro_batch_size} x {processes} "
            f"processes, got {training.batch_size}"
        )
    tokens = training.total_steps * training.batch_size * recipe.data.seq_len
    model_folder, finished = folder / "model", folder / "finished.json"
    if finished.exists():
        model = LoopLMForCausalLM.from_pretrained(model_folder)
        return Pretrained(model, model_folder, tokens, None)

    trainer = LoopLMTrainer(
        model=build_model(recipe, prepared.tokenizer),
        args=pretraining_arguments(
            output_dir=str(folder),
            max_steps=training.total_steps,
            per_device_train_batch_size=training.micro_batch_size,
            gradient_accumulation_steps=training.batch_size // (training.micro_batch_size * processes),
            learning_rate=training.peak_lr,
            lr_scheduler_type="warmup_stable_decay",
            lr_scheduler_kwargs={
                "num_decay_steps": training.decay_steps,
                "min_lr_ratio": training.min_lr / training.peak_lr,
                "decay_type": "linear",
            },
            warmup_steps=training.warmup_steps,
            weight_decay=training.weight_decay,
            max_grad_norm=training.grad_clip,
            logging_steps=training.logging_steps,
            save_steps=training.save_steps,
            seed=training.seed,
        ),
        train_dataset=prepared.training,
        processing_class=prepared.tokenizer,
        data_collator=DataCollatorForLanguageModeling(prepared.tokenizer, mlm=False),
        callbacks=[MetricsFileCallback(folder / "metrics.jsonl")],
    )
    trainer.remove_callback(ProgressCallback)
    trainer.add_callback(LoopProgressCallback)
    checkpoint = get_last_checkpoint(str(folder)) if folder.exists() else None
    if checkpoint is not None:
        console.print(f"Continuing from {checkpoint}")
    start_step = int(checkpoint.rsplit("-", 1)[1]) if checkpoint is not None else 0
    started = time.perf_counter()
    trainer.train(resume_from_checkpoint=checkpoint)
    seconds = time.perf_counter() - started
    trainer.save_model(str(model_folder))
    if trainer.is_world_process_zero():
        finished.write_text(json.dumps({"steps": training.total_steps, "tokens": tokens}) + "\n")
    new_tokens = (training.total_steps - start_step) * training.batch_size * recipe.data.seq_len
    return Pretrained(trainer.model, model_folder, tokens, new_tokens / seconds)


def complete_in_clean_process(folder: Path, prompt: str) -> str:
    """Continue `prompt` in a new process that loads the folder by its own code, offline; raises if that fails."""
    script = Path(__file__).parent / "complete.py"
    finished = subprocess.run(
        [sys.executable, "-W", "ignore", str(script), str(folder), "--prompt", prompt],
        env=os.environ | {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"},
        capture_output=True,
        text=True,
    )
    if finished.returncode != 0:
        raise RuntimeError(f"the saved model in {folder} does not load in a clean process:\n{finished.stderr}")
    return finished.stdout.rstrip("\n")


def report(recipe: Recipe, prepared: Prepared, pretrained: Pretrained) -> None:
    """Print a completion and the closing table, and write `report.json` beside the stages."""
    model = pretrained.model
    losses = loss_by_depth(model, prepared.validation)
    completion = complete_in_clean_process(pretrained.folder, recipe.prompt)
    console.print("\nReloaded in a clean process with trust_remote_code, the model continues:\n")
    console.print(completion, markup=False)

    parameters = sum(parameter.numel() for parameter in model.parameters())
    ternary = sum(
        module.weight.numel() for module in model.modules() if type(module).__name__ == "BitLinear"
    )
    sizes = {path.name: path.stat().st_size for path in sorted(pretrained.folder.iterdir()) if path.is_file()}
    results = {
        "recipe": recipe.name,
        "loss_by_depth": losses,
        "tokens_seen": pretrained.tokens,
        "tokens_per_second": pretrained.tokens_per_second,
        "parameters": parameters,
        "ternary_parameters": ternary,
        "num_loops": model.config.num_loops,
        "file_sizes": sizes,
        "completion": completion,
    }
    (recipe.run_dir / "report.json").write_text(json.dumps(results, indent=2) + "\n")

    table = Table(title=f"\n{recipe.name}: {recipe.description}", show_header=False, title_justify="left")
    for loop, loss in enumerate(losses, start=1):
        table.add_row(f"validation loss after loop {loop}", f"{loss:.4f} nats per token")
    table.add_row("tokens seen", f"{pretrained.tokens:,}")
    speed = pretrained.tokens_per_second
    table.add_row("training speed", "finished in an earlier call" if speed is None else f"{speed:,.0f} tokens/s")
    table.add_row("parameters counted", f"{parameters:,} ({ternary:,} of them ternary)")
    table.add_row("blocks applied per token", f"{model.config.num_shared_layers} shared x {len(losses)} loops")
    for name, size in sizes.items():
        table.add_row(name, f"{size / 1e6:,.2f} MB" if size >= 1e5 else f"{size:,} B")
    console.print(table)
    console.print(f"Everything is in {recipe.run_dir}")


def run(recipe: Recipe) -> None:
    """All stages in order; each uses what an earlier, interrupted call left."""
    state = PartialState()
    run_dir = recipe.run_dir
    console.print(f"[bold]{recipe.name}[/bold]: {recipe.description}")
    console.print("Reading Rust, training the tokenizer, packing blocks")
    with state.main_process_first():
        prepared = prepare(recipe, run_dir / "prepare")
    num_tokens = len(prepared.training) * recipe.data.seq_len
    console.print(f"{num_tokens:,} tokens to train on, {len(prepared.validation) * recipe.data.seq_len:,} held out")
    pretrained = pretrain(recipe, prepared, run_dir / "pretrain")
    if state.is_main_process:
        report(recipe, prepared, pretrained)
    state.wait_for_everyone()


def main(recipe: Recipe, arguments: list[str] | None = None) -> None:
    """Command line of a recipe."""
    parser = argparse.ArgumentParser(
        description=recipe.description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--data-dir", type=Path, default=recipe.data.data_dir, help="train on the .rs files of this folder"
    )
    parser.add_argument("--output-dir", type=Path, default=recipe.output_dir, help="parent of the run's folder")
    parser.add_argument("--seed", type=int, default=recipe.training.seed, help="of weights and data order")
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument("--resume", action="store_true", help="continue the run that is in the output folder")
    existing.add_argument("--overwrite", action="store_true", help="delete the run that is in the output folder")
    options = parser.parse_args(arguments)

    try:
        recipe = replace(
            recipe,
            data=replace(recipe.data, data_dir=options.data_dir),
            training=replace(recipe.training, seed=options.seed),
            output_dir=options.output_dir,
        )
        start_folder(recipe.run_dir, options.resume, options.overwrite)
        run(recipe)
    except ValueError as error:
        parser.error(str(error))


def start_folder(run_dir: Path, resume: bool, overwrite: bool) -> None:
    """Make room for a run; an existing one is only touched when asked. Raises ValueError."""
    with PartialState().main_process_first():
        if not PartialState().is_main_process:
            return
        if run_dir.exists() and any(run_dir.iterdir()):
            if overwrite:
                shutil.rmtree(run_dir)
            elif not resume:
                raise ValueError(
                    f"{run_dir} already holds a run: continue it with --resume, delete it with --overwrite, or choose "
                    "another place with --output-dir"
                )
        elif resume:
            raise ValueError(f"--resume needs a run to continue, got none in {run_dir}")
        run_dir.mkdir(parents=True, exist_ok=True)
