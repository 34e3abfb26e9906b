"""
Run by test_two_ranks.py on two processes; trains small models with DistributedDataParallel as it is by default, each
process on its half of every batch, and prints what that gives against one process with whole batches:

    torchrun --nproc_per_node 2 two_ranks_process.py
"""

import json

import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from tests.helpers.tiny import random_tokens, tiny_model

BATCHES = [random_tokens(4, 12, seed=step) for step in range(3)]


def own_loss(model: nn.Module, tokens: torch.Tensor, num_loops: int | None) -> torch.Tensor:
    """The model's objective over all loops."""
    return model(tokens, labels=tokens, num_loops=num_loops).loss


def last_loop_loss(model: nn.Module, tokens: torch.Tensor, num_loops: int | None) -> torch.Tensor:
    """Cross-entropy of the logits, as supervised fine-tuning computes it: the gate has no part in it."""
    logits = model(tokens, num_loops=num_loops).logits
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())


def train(model: nn.Module, loss_function, shares: int, share: int, loops: tuple = (None, None, None)) -> None:
    """Take SGD steps on a share of each batch."""
    optimizer = torch.optim.SGD([each for each in model.parameters() if each.requires_grad], lr=0.1)
    for tokens, num_loops in zip(BATCHES, loops, strict=True):
        loss_function(model, tokens.chunk(shares)[share], num_loops).backward()
        optimizer.step()
        optimizer.zero_grad()


def difference(
    loss_function=own_loss, prepare=lambda model: None, loops: tuple = (None, None, None), **settings
) -> float:
    """Largest difference between the weights of two processes and of one, relative to the largest update."""
    models = [tiny_model(**settings).train() for _ in range(3)]
    for model in models:
        prepare(model)
    start, one, two = models
    train(one, loss_function, 1, 0, loops)
    train(DistributedDataParallel(two), loss_function, 2, dist.get_rank(), loops)
    triples = list(zip(start.parameters(), one.parameters(), two.parameters(), strict=True))
    moved = max((first - second).abs().max() for first, second, _ in triples)
    return (max((second - third).abs().max() for _, second, third in triples) / moved).item()


def checkpointed(granularity: str):
    def prepare(model: nn.Module) -> None:
        model.gradient_checkpointing_enable({"granularity": granularity, "use_reentrant": False})

    return prepare


def without_freezing() -> str:
    """Error of DistributedDataParallel for a gate that is trained and gets no gradient."""
    try:
        train(DistributedDataParallel(tiny_model().train()), last_loop_loss, 2, dist.get_rank())
    except RuntimeError as error:
        return str(error)
    return "nothing"


def main() -> None:
    dist.init_process_group("gloo")
    assert dist.get_world_size() == 2
    found = {
        "all loops": difference(),
        "final loss": difference(loop_loss="final"),
        "another number of loops every step": difference(loops=(3, 1, 5)),
        "one loop, then two, of a scaled update": difference(loops=(1, 2, 1), loop_update="scaled", num_coda_layers=1),
        "layers checkpointed": difference(prepare=checkpointed("layer")),
        "loops checkpointed": difference(prepare=checkpointed("loop")),
        "selectively checkpointed": difference(prepare=checkpointed("selective")),
        "last loop, gate frozen": difference(last_loop_loss, lambda model: model.freeze_gate()),
        "last loop, gate not frozen": without_freezing(),
    }
    if dist.get_rank() == 0:
        print(json.dumps(found))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
