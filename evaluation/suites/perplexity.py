"""Loss of a model on held-out text, after every loop."""

import torch
from datasets import Dataset
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from modeling_nanochat import LoopLMForCausalLM


@torch.no_grad()
def loss_by_depth(
    model: LoopLMForCausalLM, blocks: Dataset, num_loops: int | None = None, batch_size: int = 8
) -> list[float]:
    """
    Mean cross-entropy in nats per token when the prediction is read after loop 1, 2, ...; from one pass at full depth.

    Args:
        model: In any mode; it is left as it was.
        blocks: Column `input_ids`, all rows of one length.
        num_loops: Loops to run, None for the configuration's.
        batch_size: Rows per forward pass.

    Raises:
        ValueError: There are no blocks.
    """
    if len(blocks) == 0:
        raise ValueError("blocks must hold at least one row to measure a loss, got none")
    was_training = model.training
    model.eval()
    total, tokens = 0.0, 0
    loader = DataLoader(blocks.with_format("torch"), batch_size=batch_size)
    with model.model.resting_weights():
        for batch in tqdm(loader, desc="Loss by depth", leave=False):
            input_ids = batch["input_ids"].to(model.device, torch.long)
            output = model(input_ids, labels=input_ids, use_cache=False, return_logits=False, num_loops=num_loops)
            predicted = input_ids.shape[0] * (input_ids.shape[1] - 1)
            total = total + output.loop_losses.double().cpu() * predicted
            tokens += predicted
    model.train(was_training)
    return (total / tokens).tolist()
