"""The pipeline every recipe goes through: prepare the data, pretrain, report."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

import datasets
import psutil
import torch
import transformers
from accelerate import PartialState
from datasets import Dataset, load_from_disk
from rich.console import Console
from rich.table import Table
from transformers import AutoTokenizer, DataCollatorForLanguageModeling, PreTrainedTokenizerFast, set_seed
from transformers.trainer_callback import ProgressCallback

from evaluation.suites.perplexity import loss_by_depth
from modeling_nanochat import BitLinear, LoopLMConfig, LoopLMForCausalLM
from recipes.schema import Recipe
from trainers.callbacks import LoopProgressCallback, MetricsFileCallback
from trainers.data.pack import pack_blocks
from trainers.data.sources import Row, read_rows
from trainers.data.tokenizer import check_special_tokens, special_token_ids, train_tokenizer
from trainers.pretraining import LoopLMTrainer, last_complete_checkpoint, pretraining_arguments

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
    # Sorted by hash: rows of one source would lie together otherwise.
    rows = sorted(rows, key=lambda row: row.id)
    num_held_out = max(1, sum(int(row.id[:8], 16) < threshold for row in rows))
    return rows[num_held_out:], rows[:num_held_out]


def prepare(recipe: Recipe, folder: Path) -> Prepared:
    """Read the data, train the tokenizer, pack the blocks; what an earlier, equal call made is used again."""
    finished = folder / "finished.json"
    if not finished.exists():
        shutil.rmtree(folder, ignore_errors=True)
        rows = read_rows(recipe.data.data_dir)
        if len(rows) < 2:
            raise ValueError(f"data.data_dir must hold at least two different files, got {len(rows)}")
        for source, count in Counter(row.source for row in rows).items():
            size = sum(len(row.code.encode()) for row in rows if row.source == source)
            console.print(f"  {source:<16} {count:>6,} texts {size / 1e6:>7.2f} MB")
        training, validation = split_rows(rows, recipe.data.validation_fraction)
        tokenizer = train_tokenizer((row.code for row in training), recipe.data.vocab_size, recipe.data.seq_len)
        tokenizer.save_pretrained(folder / "tokenizer")
        for name, part in (("training", training), ("validation", validation)):
            blocks = pack_blocks([row.code for row in part], tokenizer, recipe.data.seq_len)
            blocks.save_to_disk(folder / name)
        finished.write_text(json.dumps({"texts": len(rows)}) + "\n")
    tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
    return Prepared(tokenizer, load_from_disk(folder / "training"), load_from_disk(folder / "validation"))


def build_model(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> LoopLMForCausalLM:
    """A fresh model of the recipe's shape for this tokenizer."""
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
    tokens_per_step = training.batch_size * recipe.data.seq_len
    tokens = training.total_steps * tokens_per_step
    model_folder, finished = folder / "model", folder / "finished.json"
    if finished.exists():
        return Pretrained(LoopLMForCausalLM.from_pretrained(model_folder), model_folder, tokens, None)

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
            adam_beta2=training.adam_beta2,
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
    checkpoint = last_complete_checkpoint(folder)
    start_step = 0
    if checkpoint is not None:
        console.print(f"Continuing from {checkpoint}")
        start_step = int(checkpoint.name.removeprefix("checkpoint-"))
    started = time.perf_counter()
    trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    seconds = time.perf_counter() - started
    trainer.save_model(str(model_folder))
    if trainer.is_world_process_zero():
        finished.write_text(json.dumps({"steps": training.total_steps, "tokens": tokens}) + "\n")
    new_tokens = (training.total_steps - start_step) * tokens_per_step
    return Pretrained(trainer.model, model_folder, tokens, new_tokens / seconds)


def complete_in_clean_process(folder: Path, prompt: str) -> str:
    """Continue `prompt` in a new process that loads the folder by its own code, offline; raises if that fails."""
    script = Path(__file__).with_name("complete.py")
    finished = subprocess.run(
        [sys.executable, "-W", "ignore", str(script), str(folder), "--prompt", prompt, "--min-new-tokens", "48"],
        env=os.environ | {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if finished.returncode != 0:
        raise RuntimeError(f"the saved model in {folder} does not load in a clean process:\n{finished.stderr}")
    return finished.stdout.rstrip("\n")


def file_sizes(folder: Path) -> dict[str, int]:
    """Bytes per file of a saved model, the code files taken together, and their sum."""
    sizes: dict[str, int] = {}
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        name = "model code (*.py)" if path.suffix == ".py" else path.name
        sizes[name] = sizes.get(name, 0) + path.stat().st_size
    return sizes | {"all files": sum(sizes.values())}


def report(recipe: Recipe, prepared: Prepared, pretrained: Pretrained) -> None:
    """Print a completion and the closing table, and write `report.json` beside the stages."""
    model = pretrained.model
    completion = complete_in_clean_process(pretrained.folder, recipe.prompt)
    results = {
        "recipe": recipe.name,
        "loss_by_depth": loss_by_depth(model, prepared.validation),
        "tokens_seen": pretrained.tokens,
        "tokens_per_second": pretrained.tokens_per_second,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "ternary_parameters": sum(m.weight.numel() for m in model.modules() if isinstance(m, BitLinear)),
        "file_sizes": file_sizes(pretrained.folder),
        "prompt": recipe.prompt,
        "completion": completion,
    }
    (recipe.run_dir / "report.json").write_text(json.dumps(results, indent=2) + "\n")

    console.print("\nReloaded in a clean process with trust_remote_code, the model continues:\n")
    console.print(completion, markup=False, soft_wrap=True)
    table = Table(title=f"\n{recipe.name}: {recipe.description}", show_header=False, title_justify="left")
    for loop, loss in enumerate(results["loss_by_depth"], start=1):
        table.add_row(f"validation loss after loop {loop}", f"{loss:.4f} nats per token")
    table.add_row("tokens seen", f"{pretrained.tokens:,}")
    speed = pretrained.tokens_per_second
    table.add_row("training speed", "finished in an earlier call" if speed is None else f"{speed:,.0f} tokens/s")
    table.add_row("parameters", f"{results['parameters']:,}, of them ternary {results['ternary_parameters']:,}")
    table.add_row("blocks applied per token", f"{model.config.num_shared_layers} x {model.config.num_loops} loops")
    for name, size in results["file_sizes"].items():
        table.add_row(name, f"{size / 1e6:,.3f} MB")
    console.print(table)
    console.print(f"Everything is in {recipe.run_dir}")


def use_all_cores() -> None:
    """
    Let PyTorch use every physical core that this process may run on, divided among the processes of this machine:
    `accelerate launch` allows one thread unless it is told to run on the processor.
    """
    allowed = len(psutil.Process().cpu_affinity()) if hasattr(psutil.Process, "cpu_affinity") else os.cpu_count()
    cores = min(allowed, psutil.cpu_count(logical=False) or allowed)
    torch.set_num_threads(max(1, cores // int(os.environ.get("LOCAL_WORLD_SIZE", 1))))


def start_folder(recipe: Recipe, resume: bool, overwrite: bool) -> None:
    """
    Make the run's folder and keep the recipe in it.

    Raises:
        ValueError: There is a run already and neither `resume` nor `overwrite` is set; what is there is no run, or one
            of another recipe.
    """
    run_dir, kept = recipe.run_dir, recipe.run_dir / "recipe.json"
    settings = json.loads(
        json.dumps(
            {
                "model": recipe.model.to_dict(),
                "data": asdict(recipe.data),
                "training": asdict(recipe.training),
            },
            default=str,
        )
    )
    if run_dir.exists() and any(run_dir.iterdir()):
        if not kept.exists():
            raise ValueError(f"{run_dir} holds files that are no run; choose another place with --output-dir")
        if not (resume or overwrite):
            raise ValueError(
                f"{run_dir} already holds a run: continue it with --resume, delete it with --overwrite, or choose "
                "another place with --output-dir"
            )
        if overwrite:
            shutil.rmtree(run_dir)
        else:
            earlier = json.loads(kept.read_text())
            changed = [
                f"{section}.{name}"
                for section, values in settings.items()
                for name, value in values.items()
                if earlier[section].get(name) != value
            ]
            if changed:
                raise ValueError(f"--resume needs the settings of the run in {run_dir}, but these differ: {changed}")
            return
    elif resume:
        raise ValueError(f"--resume needs a run to continue, got none in {run_dir}")
    run_dir.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(settings, indent=2) + "\n")


def run(recipe: Recipe) -> None:
    """All stages in order; each uses what an earlier, interrupted call left."""
    # Only the training and evaluation loops show progress bars of their own.
    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()
    use_all_cores()
    state = PartialState()
    console.print(f"[bold]{recipe.name}[/bold]: {recipe.description}")
    console.print("Reading Rust, training the tokenizer, packing blocks")
    with state.main_process_first():
        prepared = prepare(recipe, recipe.run_dir / "prepare")
    training_tokens, validation_tokens = (
        len(blocks) * recipe.data.seq_len for blocks in (prepared.training, prepared.validation)
    )
    console.print(f"{training_tokens:,} tokens to train on, {validation_tokens:,} held out")
    pretrained = pretrain(recipe, prepared, recipe.run_dir / "pretrain")
    if state.is_main_process:
        report(recipe, prepared, pretrained)
    state.wait_for_everyone()
