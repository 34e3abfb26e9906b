"""
Run by test_distillation_trainer.py on two processes, each with its half of every batch; compares the trained weights
with those of one process with whole batches:

    torchrun --nproc_per_node 2 distillation_process.py FOLDER
"""

import json
import sys
from contextlib import nullcontext
from pathlib import Path

import torch
import torch.distributed as dist

from tests.helpers.distillation import distilled
from tests.helpers.pretraining import rows_with_unequal_labels
from tests.helpers.teachers import tiny_llama
from tests.helpers.tiny import tiny_model
from trainers.distillation.attention import AttentionComparison, AttentionRelations
from trainers.distillation.loss import DistillationWeights, distillation_loss
from trainers.distillation.teacher import Teacher
from trainers.pretraining import labels_of

WEIGHTS = DistillationWeights(2.0, 1.0, 1.0, 1.0)


def expected(relations: AttentionRelations | None) -> dict[str, torch.Tensor]:
    """Two steps of SGD on all rows, without a Trainer."""
    model, teacher = tiny_model(seed=1).train(), Teacher.of(tiny_llama())
    model.freeze_gate()
    comparison = None if relations is None else AttentionComparison(relations, teacher.model, model.model)
    rows = rows_with_unequal_labels()
    batch = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
    optimizer = torch.optim.SGD([each for each in model.parameters() if each.requires_grad], lr=0.05)
    for _ in range(2):
        tokens = {"input_ids": batch["input_ids"]}
        with nullcontext() if comparison is None else comparison.watched():
            outputs = model(**tokens, use_cache=False, output_loop_states=True, return_logits=False)
            targets = teacher.targets(tokens, WEIGHTS.temperature)
        labels = labels_of(batch)
        loss = distillation_loss(outputs.loop_hidden_states, model.lm_head, labels, targets, WEIGHTS).loss
        if comparison is not None:
            loss = loss + comparison.loss(tokens, labels, None).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.state_dict()


def main() -> None:
    folder = Path(sys.argv[1])
    # Two micro-batches of a row in each process make a step.
    settings = dict(per_device_train_batch_size=1, gradient_accumulation_steps=2, lr_scheduler_type="constant")
    result = {"processes": dist.get_world_size()}
    for kind, relations in (("largest difference", None), ("of the relations", AttentionRelations(2.0, heads=4))):
        found, wanted = distilled(folder, WEIGHTS, relations=relations, **settings), expected(relations)
        result[kind] = max((found[name] - value).abs().max().item() for name, value in wanted.items())
    if dist.get_rank() == 0:
        (folder / "found.json").write_text(json.dumps(result))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
