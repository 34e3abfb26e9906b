"""
Run by test_distillation_trainer.py on two processes, each with its half of every batch; compares the trained weights
with those of one process with whole batches:

    torchrun --nproc_per_node 2 distillation_process.py FOLDER
"""

import json
import sys
from pathlib import Path

import torch
import torch.distributed as dist

from tests.helpers.distillation import distilled
from tests.helpers.pretraining import rows_with_unequal_labels
from tests.helpers.teachers import tiny_llama
from tests.helpers.tiny import tiny_model
from trainers.distillation.loss import DistillationWeights, distillation_loss
from trainers.distillation.teacher import Teacher
from trainers.pretraining import labels_of

WEIGHTS = DistillationWeights(2.0, 1.0, 1.0, 1.0)


def expected() -> dict[str, torch.Tensor]:
    """Two steps of SGD on all rows, without a Trainer."""
    model, teacher = tiny_model(seed=1).train(), Teacher.of(tiny_llama())
    model.freeze_gate()
    rows = rows_with_unequal_labels()
    batch = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
    optimizer = torch.optim.SGD([each for each in model.parameters() if each.requires_grad], lr=0.05)
    for _ in range(2):
        tokens = {"input_ids": batch["input_ids"]}
        outputs = model(**tokens, use_cache=False, output_loop_states=True, return_logits=False)
        targets = teacher.targets(tokens, WEIGHTS.temperature)
        distillation_loss(
            outputs.loop_hidden_states, model.lm_head, labels_of(batch), targets, WEIGHTS
        ).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.state_dict()


def main() -> None:
    folder = Path(sys.argv[1])
    # Two micro-batches of a row in each process make a step.
    settings = dict(per_device_train_batch_size=1, gradient_accumulation_steps=2, lr_scheduler_type="constant")
    found, wanted = distilled(folder, WEIGHTS, **settings), expected()
    differences = [(found[name] - value).abs().max().item() for name, value in wanted.items()]
    if dist.get_rank() == 0:
        result = {"processes": dist.get_world_size(), "largest difference": max(differences)}
        (folder / "found.json").write_text(json.dumps(result))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
