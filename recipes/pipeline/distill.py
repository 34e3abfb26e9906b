"""The teacher of a stage of distillation: checks before any work, and its predictions for the trainer."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console
from transformers import AutoModelForCausalLM, PreTrainedConfig

from evaluation.complete_files import complete_file
from evaluation.loading import load_config, load_tokenizer
from recipes.pipeline.prepare import Prepared
from recipes.pipeline.processes import on_main_process, process_state
from recipes.pipeline.schema import Recipe
from trainers.data.blocks import TokenBlocks
from trainers.data.collator import collate_blocks
from trainers.data.pack import regroup_blocks
from trainers.distillation.kept_targets import (
    BlocksWithTargets,
    Fingerprint,
    begin_targets,
    collate_with_targets,
    compute_targets,
    finish_targets,
    open_kept,
)
from trainers.distillation.loss import rows_per_chunk
from trainers.distillation.targets import DenseTargets
from trainers.distillation.teacher import Teacher, teacher_identity
from trainers.distillation.vocabulary import check_vocabulary
from trainers.hardware import has_fast_bf16

if TYPE_CHECKING:
    from recipes.pipeline.stages.distill import Distill

console = Console(highlight=False)
TEACHER_FILE = "teacher.json"
"""File in the stage's folder that says which teacher the stage began with."""


def check_teacher(recipe: Recipe, stage: "Distill") -> None:
    """
    Check a teacher before the data is prepared.

    Raises:
        ValueError: It does not exist, has too few positions, or has another tokenizer than the saved model that the
            run starts from; or its attention relations cannot be compared.
    """
    config = load_config(stage.teacher).get_text_config()
    positions = config.to_dict().get("max_position_embeddings")
    if positions is not None and positions < stage.seq_len:
        raise ValueError(
            f"{stage.name}.seq_len must be at most {positions}, the positions of the teacher {stage.teacher!r}, "
            f"got {stage.seq_len}"
        )
    check_relations(recipe, stage, load_config(stage.teacher))
    tokenizer = load_tokenizer(stage.teacher)
    if recipe.init_from is not None:
        check_vocabulary(tokenizer, recipe.init_from.tokenizer(), stage.teacher)


def check_relations(recipe: Recipe, stage: "Distill", teacher: PreTrainedConfig) -> None:
    """
    Check the attention relations of a stage, if it has any, against the configurations of teacher and student.

    Raises:
        ValueError: See [`AttentionRelations.layers`].
    """
    relations = stage.relations()
    if relations is None:
        return
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(teacher)
    relations.layers(model, stage.model_config(recipe.model))


def check_prepared_teacher(stage: "Distill", prepared: Prepared, folder: Path) -> None:
    """
    Check a teacher against the tokenizer of the data, and against the one that the stage began with.

    Args:
        stage: The stage.
        prepared: The data.
        folder: Folder of the stage.

    Raises:
        ValueError: The tokenizers differ, or the teacher has changed since the stage began.
    """
    check_vocabulary(load_tokenizer(stage.teacher), prepared.tokenizer, stage.teacher)
    path = folder / TEACHER_FILE
    if not path.exists():
        return
    before, now = json.loads(path.read_text()), teacher_identity(stage.teacher)
    changed = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    if changed:
        raise ValueError(
            f"stage {stage.name} began with the teacher in {stage.teacher}, whose {changed[0]} has changed since "
            "then: put the former files back, or start a new run with --overwrite"
        )


def teacher_or_kept_targets(
    recipe: Recipe, stage: "Distill", prepared: Prepared, micro_batch_size: int
) -> dict[str, Any]:
    """
    Return the data and the teacher as arguments of `DistillationTrainer`. With `teacher_top_k` the teacher's
    predictions are computed first, as far as they are not on disk, and the teacher is dropped.

    Raises:
        ValueError: The teacher cannot be loaded, or cannot keep documents apart.
    """
    state, folder = process_state(), recipe.stage_dir(stage)
    blocks = regroup_blocks(prepared.training[stage.name], stage.seq_len)
    assert isinstance(blocks, TokenBlocks), "versions with this stage pack into files"
    identity = on_main_process(lambda: _begin(stage, folder))
    bf16 = recipe.hardware.mixed_precision != "no" and has_fast_bf16()
    fingerprint = None
    if stage.teacher_top_k is not None:
        fingerprint = Fingerprint.of(
            blocks,
            teacher=identity,
            k=stage.teacher_top_k,
            temperature=stage.temperature,
            vocab_size=recipe.model.vocab_size,
            bf16=bf16,
        )
        kept = on_main_process(lambda: open_kept(blocks, folder, fingerprint))
        if kept is not None:
            return {"train_dataset": kept, "data_collator": collate_with_targets}
    assert state.device is not None, "accelerate has chosen one"
    teacher = Teacher.load(stage.teacher, bf16, state.device)
    if blocks.document_masking:
        teacher.check_documents()
    if fingerprint is None:
        return {"train_dataset": blocks, "data_collator": collate_blocks, "teacher": teacher}
    kept = _keep(teacher, stage, blocks, folder, fingerprint, micro_batch_size)
    return {"train_dataset": kept, "data_collator": collate_with_targets}


def _begin(stage: "Distill", folder: Path) -> dict[str, str]:
    """Write down which teacher the stage begins with; return it."""
    identity = teacher_identity(stage.teacher)
    folder.mkdir(parents=True, exist_ok=True)
    with complete_file(folder / TEACHER_FILE) as file:
        file.write_text(json.dumps(identity, indent=2) + "\n")
    return identity


def _keep(
    teacher: Teacher,
    stage: "Distill",
    blocks: TokenBlocks,
    folder: Path,
    fingerprint: Fingerprint,
    micro_batch_size: int,
) -> BlocksWithTargets:
    """Compute the teacher's predictions for all blocks, in all processes together."""
    state, device = process_state(), teacher.model.device

    def predict(batch: dict[str, torch.Tensor]) -> DenseTargets:
        tokens = {name: value.to(device) for name, value in batch.items() if name != "labels"}
        return teacher.targets(tokens, stage.temperature)

    if state.is_main_process:
        console.print(f"Stage {stage.name}: the teacher reads {len(blocks) * blocks.seq_len:,} tokens once")
    on_main_process(lambda: begin_targets(blocks, folder, fingerprint))
    compute_targets(
        blocks,
        folder,
        fingerprint,
        predict,
        micro_batch_size,
        process=state.process_index,
        num_processes=state.num_processes,
        chunk=rows_per_chunk(device.type, fingerprint.vocab_size),
    )
    state.wait_for_everyone()
    on_main_process(lambda: finish_targets(folder))
    kept = open_kept(blocks, folder, fingerprint)
    assert kept is not None, "it was just written"
    return kept
