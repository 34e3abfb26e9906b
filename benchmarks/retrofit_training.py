"""The models of `retrofit.py`: a Llama that is trained here, looped, rounded and trained again."""

import gzip
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from datasets import Dataset
from reporting import replace_json
from torch.nn import functional as F
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Trainer,
    TrainingArguments,
    default_data_collator,
    set_seed,
)

from evaluation.loss_by_depth import loss_by_depth, token_losses
from modeling_nanochat import LoopLMConfig, LoopLMForCausalLM
from modeling_nanochat.loss_nanochat import IGNORE_INDEX
from modeling_nanochat.ternary_nanochat import ternary_codes
from trainers.callbacks import (
    EvaluateCallback,
    LoopProgressCallback,
    MetricsFileCallback,
    TrainingProgressCallback,
)
from trainers.conversion.command import convert
from trainers.conversion.looping import loop_model
from trainers.conversion.ternarizing import ternarize_model
from trainers.data.pack import pack_blocks
from trainers.data.tokenizer import train_tokenizer
from trainers.distillation.loss import DistillationWeights
from trainers.distillation.teacher import Teacher
from trainers.distillation.trainer import DistillationTrainer
from trainers.pretraining import last_complete_checkpoint, pretraining_arguments, train_from

VOCAB_SIZE, SEQ_LEN, GROUP_SIZE = 2048, 256, 64
PARENT_BATCH_SIZE, BATCH_SIZE = 8, 4
HELD_OUT_EVERY = 20
"""Every 20th file of the corpus is held out."""
HELD_OUT_BLOCKS = 96
PARENT_LR, FLOAT_LR, TERNARY_LR = 2e-3, 1e-4, 1e-3
"""Peak learning rates; a float model that goes on from the end of a schedule needs a small one."""
METRICS = "metrics.jsonl"


@dataclass(frozen=True)
class Arm:
    """
    A rung of the ladder: a model to start from, and a loss to train it with.

    Attributes:
        name: Name in files.
        title: Name in tables.
        start: Folder to start from: `dense`, `looped` or `ternary`; "" for new ternary weights.
        kl: Weight of the divergence from the parent.
        hard: Weight of the cross-entropy of the text; with both weights 0 nothing is trained.
        warmup: Share of the steps in which the weights become ternary.
    """

    name: str
    title: str
    start: str
    kl: float = 0.0
    hard: float = 0.0
    warmup: float = 0.0

    @property
    def trains(self) -> bool:
        """Whether there is anything to train."""
        return self.kl + self.hard > 0


ARMS = (
    Arm("dense_ce", "dense, cross-entropy", "dense", hard=1),
    Arm("looped_ce", "looped, cross-entropy", "looped", hard=1),
    Arm("rounded", "looped, ternary, not trained", "ternary"),
    Arm("ternary_ce", "looped, ternary, cross-entropy", "ternary", hard=1),
    Arm("ternary_kl", "looped, ternary, distilled", "ternary", kl=1),
    Arm("ternary_kl_blend", "looped, ternary by a schedule, distilled", "ternary", kl=1, warmup=0.5),
    Arm("scratch_ce", "looped, ternary, from scratch, cross-entropy", "", hard=1),
)


@dataclass(frozen=True)
class Corpus:
    """
    The text of all arms.

    Attributes:
        tokenizer: The parent's.
        training: Blocks to train on.
        held_out: Blocks of other files.
    """

    tokenizer: PreTrainedTokenizerFast
    training: Dataset
    held_out: Dataset


def corpus(file: Path, folder: Path) -> Corpus:
    """
    Read the corpus, or what an earlier call made of it.

    Args:
        file: Compressed JSON lines with a column `text`.
        folder: Folder to keep tokenizer and blocks in.
    """
    if not (folder / "held_out").exists():
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            texts = [json.loads(line)["text"] for line in lines]
        held_out = texts[::HELD_OUT_EVERY]
        training = [text for index, text in enumerate(texts) if index % HELD_OUT_EVERY]
        tokenizer = train_tokenizer(training[::4], VOCAB_SIZE, SEQ_LEN)
        tokenizer.save_pretrained(folder / "tokenizer")
        # Files of one project stand together: a block of the batch should not always be the next one's neighbor.
        pack_blocks(training, tokenizer, SEQ_LEN).shuffle(seed=0).flatten_indices().save_to_disk(folder / "training")
        pack_blocks(held_out, tokenizer, SEQ_LEN).shuffle(seed=0).select(
            range(HELD_OUT_BLOCKS)
        ).flatten_indices().save_to_disk(folder / "held_out")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder / "tokenizer")
    blocks = [Dataset.load_from_disk(str(folder / name)) for name in ("training", "held_out")]
    return Corpus(tokenizer, *blocks)


def train_parent(texts: Corpus, folder: Path, steps: int) -> None:
    """Train a Llama with the classes of transformers, and save it in `folder/model`; continue what was interrupted."""
    if (folder / "model" / "config.json").exists():
        return
    set_seed(0)
    config = LlamaConfig(
        vocab_size=VOCAB_SIZE,
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=6,
        num_attention_heads=6,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=SEQ_LEN,
        tie_word_embeddings=True,
        bos_token_id=texts.tokenizer.bos_token_id,
        eos_token_id=texts.tokenizer.eos_token_id,
        pad_token_id=texts.tokenizer.pad_token_id,
    )
    arguments = TrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=PARENT_BATCH_SIZE,
        learning_rate=PARENT_LR,
        lr_scheduler_type="cosine",
        warmup_steps=steps // 50,
        adam_beta2=0.95,
        weight_decay=0.1,
        logging_steps=50,
        save_steps=200,
        save_total_limit=1,
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
    )
    trainer = Trainer(
        model=LlamaForCausalLM(config),
        args=arguments,
        train_dataset=with_labels(texts.training),
        data_collator=default_data_collator,
        callbacks=[MetricsFileCallback(folder / "metrics.jsonl"), TrainingProgressCallback()],
    )
    train_from(trainer, last_complete_checkpoint(folder))
    trainer.model.save_pretrained(folder / "model")
    texts.tokenizer.save_pretrained(folder / "model")


def with_labels(blocks: Dataset) -> Dataset:
    """The blocks as the Trainer expects them."""
    return blocks.add_column("labels", blocks["input_ids"])


def make_starts(parent: Path, folder: Path, num_loops: int) -> None:
    """Convert, loop and ternarize the parent, as the commands of the same names do."""
    if not (folder / "dense").exists():
        convert(str(parent), folder / "dense")
    if not (folder / "looped").exists():
        loop_model(folder / "dense", folder / "looped", num_loops=num_loops)
    if not (folder / "ternary").exists():
        ternarize_model(folder / "looped", folder / "ternary", group_size=GROUP_SIZE)


def starting_model(arm: Arm, starts: Path, seed: int) -> LoopLMForCausalLM:
    """The model that an arm begins with; one without a start has new weights in the shape of the ternary model."""
    set_seed(seed)
    if arm.start:
        return LoopLMForCausalLM.from_pretrained(starts / arm.start, dtype=torch.float32)
    return LoopLMForCausalLM(LoopLMConfig.from_pretrained(starts / "ternary"))


def run_arm(arm: Arm, seed: int, texts: Corpus, starts: Path, folder: Path, steps: int, points: int) -> dict:
    """
    Train an arm, or continue or read what an earlier call left.

    Args:
        arm: The arm.
        seed: Seed of the order of the text, and of new weights.
        texts: Text of all arms.
        starts: Folder of [`make_starts`].
        folder: Folder of the results.
        steps: Number of training steps.
        points: Number of measurements of the held-out loss.

    Returns:
        `curve`, pairs of step and held-out loss in nats per token; the final loss after each loop (`by_loop`) and of
        each held-out block after the last loop (`by_block`); and of ternary models `zeros` and `moved`, the shares of
        codes that are zero, and that are not those of the start.
    """
    place = folder / f"{arm.name}_seed_{seed}"
    result = place / "result.json"
    if result.exists():
        return json.loads(result.read_text())
    place.mkdir(parents=True, exist_ok=True)
    model = starting_model(arm, starts, seed)
    before = codes(model)
    curve = [(0, loss_by_depth(model, texts.held_out)[-1])]
    if arm.trains:
        trainer = arm_trainer(arm, model, seed, texts, starts, place, steps, steps // points)
        train_from(trainer, last_complete_checkpoint(place))
        logged = map(json.loads, (place / METRICS).read_text().splitlines())
        curve += [(line["step"], line["eval_loss"]) for line in logged if "eval_loss" in line]
    losses = block_losses(model, texts.held_out)
    found: dict = {"curve": curve, "by_loop": losses.mean(dim=1).tolist(), "by_block": losses[-1].tolist()}
    if before:
        total = sum(each.numel() for each in before)
        pairs = list(zip(before, codes(model), strict=True))
        found["zeros"] = sum(int((after == 0).sum()) for _, after in pairs) / total
        found["moved"] = sum(int((after != old).sum()) for old, after in pairs) / total
    replace_json(result, found)
    return found


def arm_trainer(
    arm: Arm,
    model: LoopLMForCausalLM,
    seed: int,
    texts: Corpus,
    starts: Path,
    place: Path,
    steps: int,
    eval_steps: int,
) -> DistillationTrainer:
    """The trainer of an arm. All arms have the same loss at the same places, of the last loop; its weights differ."""
    arguments = pretraining_arguments(
        output_dir=str(place),
        max_steps=steps,
        per_device_train_batch_size=BATCH_SIZE,
        learning_rate=FLOAT_LR if arm.start in ("dense", "looped") else TERNARY_LR,
        lr_scheduler_type="cosine",
        warmup_steps=steps // 10,
        adam_beta2=0.95,
        weight_decay=0.0,
        logging_steps=eval_steps,
        save_steps=eval_steps,
        save_total_limit=1,
        seed=seed,
        ternary_warmup=arm.warmup,
        disable_tqdm=True,
        bf16=False,
    )
    parent = LlamaForCausalLM.from_pretrained(starts / "parent" / "model", dtype=torch.float32)

    def evaluate(trained: LoopLMForCausalLM, _: int) -> dict[str, float]:
        return {"eval_loss": loss_by_depth(trained, texts.held_out)[-1]}

    return DistillationTrainer(
        model=model,
        args=arguments,
        train_dataset=with_labels(texts.training),
        data_collator=default_data_collator,
        weights=DistillationWeights(kl_weight=arm.kl, hard_weight=arm.hard),
        teacher=Teacher.of(parent),
        callbacks=[
            MetricsFileCallback(place / METRICS),
            EvaluateCallback(evaluate, place / METRICS, eval_steps),
            LoopProgressCallback(f"{arm.title}, seed {seed}"),
        ],
    )


@torch.no_grad()
def block_losses(model: PreTrainedModel, blocks: Dataset) -> torch.Tensor:
    """The mean loss of each block after each loop, (loops, blocks) in nats per token."""
    model.eval()
    found = []
    for start in range(0, len(blocks), BATCH_SIZE):
        input_ids = torch.tensor(blocks[start : start + BATCH_SIZE]["input_ids"])
        labels = F.pad(input_ids[:, 1:], (0, 1), value=IGNORE_INDEX)
        losses, _ = token_losses(model, input_ids, labels)
        found.append(losses.unflatten(1, (len(input_ids), -1)).mean(dim=2))
    return torch.cat(found, dim=1)


def codes(model: LoopLMForCausalLM) -> list[torch.Tensor]:
    """Ternary codes of all layers; none of a float model."""
    return [ternary_codes(layer.weight.detach(), layer.group_size)[0] for layer in model.model.ternary_layers()]
