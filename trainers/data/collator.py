"""Batches of packed blocks."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from modeling_nanochat.loss_nanochat import IGNORE_INDEX


def collate_blocks(rows: Sequence[Mapping[str, Sequence[int] | np.ndarray]]) -> dict[str, torch.Tensor]:
    """
    Return a batch of blocks of equal length, with their tokens as labels unless they have labels of their own.

    There is no attention mask, because nothing is padded, and because models find documents by their positions only
    without one. In rows with `position_ids`, the first token of each document is no label, as in transformers'
    `DataCollatorWithFlattening`: its prediction would be one from another document. The loss is then that of the
    documents alone.

    Args:
        rows: Rows of [`TokenBlocks`], of [`RepeatedTokens`] or of a `datasets.Dataset`, with the column `input_ids`,
            possibly `position_ids`, and `labels` in some of them.

    Returns:
        `input_ids`, `labels` and possibly `position_ids`, each `(batch, seq)`.
    """

    def stacked(columns: Sequence[Sequence[int] | np.ndarray]) -> torch.Tensor:
        return torch.from_numpy(np.stack([np.asarray(column, dtype=np.int64) for column in columns]))

    batch = {name: stacked([row[name] for row in rows]) for name in ("input_ids", "position_ids") if name in rows[0]}
    batch["labels"] = stacked([row.get("labels", row["input_ids"]) for row in rows])
    if "position_ids" in batch:
        batch["labels"][batch["position_ids"] == 0] = IGNORE_INDEX
    return batch
