"""
Run by test_optimizers.py on two processes; prints the losses of three steps, with whole and with sharded parameters,
and what a Trainer that is told to shard on processors says:

    torchrun --nproc_per_node 2 sharded_process.py
"""

import json
import tempfile

import torch
import torch.distributed as dist
from tiny import random_tokens, tiny_model
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from trainers.optimizers import muon_and_lion
from trainers.pretraining import LoopLMTrainer, pretraining_arguments


def train(mesh, sharded: bool, name: str) -> list[float]:
    model = tiny_model().train()
    if sharded:
        for layer in model.model.layers:
            fully_shard(layer, mesh=mesh, reshard_after_forward=False)
        fully_shard(model, mesh=mesh, reshard_after_forward=False)
    if name == "adamw":
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    else:
        optimizer = muon_and_lion(model, 0.02, 1e-3, 0.0, "bitsandbytes")
    losses = []
    for step in range(3):
        tokens = random_tokens(2, 16, seed=step)
        loss = model(tokens, labels=tokens, use_cache=False).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


def main() -> None:
    dist.init_process_group("gloo")
    assert dist.get_world_size() == 2
    mesh = init_device_mesh("cpu", (2,))
    found = {name: [train(mesh, sharded, name) for sharded in (False, True)] for name in ("adamw", "muon_lion")}
    try:
        arguments = pretraining_arguments(output_dir=tempfile.gettempdir(), fsdp=True, fsdp_config={"version": 2})
        LoopLMTrainer(model=tiny_model(), args=arguments)
        found["trainer"] = "no refusal"
    except ValueError as error:
        found["trainer"] = str(error)
    if dist.get_rank() == 0:
        print(json.dumps(found))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
