"""
Rotation of a float LoopLM before its weights are rounded: the same function with smaller outliers, as in QuaRot
(arXiv 2404.00456). Everything is folded into the weights, so that inference costs the same.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch

from modeling_nanochat import LoopLMConfig
from trainers.conversion.checkpoint import EMBEDDING, HEAD
from trainers.conversion.source import GATE, Entry, Source, read_values

SEED = 0
NORM = "model.norm.weight"
LOOP_SCALE = "model.loop_scale"
INPUT_NORM, MLP_NORM = "input_layernorm.weight", "post_attention_layernorm.weight"
NORM_BEFORE = {
    "self_attn.q_proj.weight": INPUT_NORM,
    "self_attn.k_proj.weight": INPUT_NORM,
    "self_attn.v_proj.weight": INPUT_NORM,
    "mlp.gate_proj.weight": MLP_NORM,
    "mlp.up_proj.weight": MLP_NORM,
}
"""Weights of a block that read the residual stream, each with the norm before it."""
WRITERS = ("self_attn.o_proj.weight", "self_attn.o_proj.bias", "mlp.down_proj.weight")
"""Parameters of a block whose product or value is added to the residual stream."""
OF_QUERIES_AND_KEYS = tuple(
    f"self_attn.{name}" for name in ("q_proj.bias", "k_proj.bias", "q_norm.weight", "k_norm.weight")
)

Change = Callable[[torch.Tensor], torch.Tensor]


class Rotation:
    """
    A random orthogonal matrix: random signs, and then Hadamard matrices along the diagonal, whose size is the largest
    power of two that divides the width.

    Args:
        width: Number of rows and columns.
    """

    def __init__(self, width: int):
        self.block = width & -width
        generator = torch.Generator().manual_seed(SEED)
        self.signs = torch.randint(0, 2, (width,), generator=generator).float() * 2 - 1

    def rows(self, values: torch.Tensor) -> torch.Tensor:
        """Multiply fp32 values `(..., n * width)` by the matrix from the right, in each of the `n` parts."""
        rotated = (values.unflatten(-1, (-1, len(self.signs))) * self.signs).reshape(-1, self.block)
        size = 1
        while size < self.block:
            pairs = rotated.reshape(-1, self.block // (2 * size), 2, size)
            first, second = pairs.unbind(2)
            rotated = torch.stack([first + second, first - second], dim=2).reshape(-1, self.block)
            size *= 2
        return (rotated / self.block**0.5).reshape(values.shape)

    def columns(self, values: torch.Tensor) -> torch.Tensor:
        """Multiply values `(n * width, ...)` by the transposed matrix from the left, in each of the `n` parts."""
        return self.rows(values.movedim(0, -1)).movedim(-1, 0)


def added_parameters(config: LoopLMConfig) -> int:
    """Return the number of parameters that a rotation adds: those of the head, if it shares the embedding's."""
    return config.vocab_size * config.hidden_size if config.tie_word_embeddings else 0


def rotated(source: Source) -> Source:
    """
    Return a float model that computes the same logits and exits, whose changed weights are in fp32:

    - The weights of the norms before attention, MLP, head and exit gate are folded into the layers after them and
      become ones. A head that shares the embedding's weight gets a weight of its own.
    - The residual stream is rotated: embedding, input of the layers that read it, output of those that write it.
    - The values of each attention head are rotated: output of `v_proj`, input of `o_proj`.

    Raises:
        ValueError: The model would compute something else: it has several residual streams, post-norms, a norm between
            loops, or steps of the loops whose scale is not the same in all dimensions.
    """
    entries = {entry.name: entry for file in source.files for entry in file}
    _check(source.config, entries)
    config = LoopLMConfig.from_dict(source.config.to_dict() | {"tie_word_embeddings": False, "dtype": "float32"})
    plan = _Plan(entries, config)
    files = [[plan.entry(entry) for entry in file] for file in source.files]
    if source.config.tie_word_embeddings:
        files[-1].append(plan.entry(replace(entries[EMBEDDING], name=HEAD)))
    return replace(source, config=config, files=files)


def _check(config: LoopLMConfig, entries: dict[str, Entry]) -> None:
    """Raise `ValueError` if a rotation would change the outputs of the model."""
    if config.mhc_num_streams > 1:
        raise ValueError(
            f"mhc_num_streams must be 1 for a rotation, got {config.mhc_num_streams}: the coefficients of the streams "
            "depend on the states, which a rotation changes"
        )
    if config.sandwich_norm:
        raise ValueError(
            "sandwich_norm must be False for a rotation, got True: the weights of post-norms cannot be folded into a "
            "layer after them"
        )
    if config.num_loops > 1 and LOOP_SCALE not in entries:
        raise ValueError(
            'num_loops must be 1 for a rotation unless loop_update="scaled", got '
            f"{config.num_loops}: the next loop reads the final norm, whose weight cannot be folded"
        )
    if LOOP_SCALE in entries and read_values(entries[LOOP_SCALE]).unique().numel() > 1:
        raise ValueError(
            f"{LOOP_SCALE} must be the same in all dimensions for a rotation, as it is in a new model, got different "
            "values: rotate before the training"
        )


class _Plan:
    """Changes of the tensors of a model."""

    def __init__(self, entries: dict[str, Entry], config: LoopLMConfig):
        _, head_dim = config.head_sizes()
        self.entries, self.stream, self.heads = entries, Rotation(config.hidden_size), Rotation(head_dim)

    def entry(self, entry: Entry) -> Entry:
        """Return the tensor to write, which is read and changed when its bytes are asked for."""
        changes = self._changes(entry.name)

        def chunks() -> Iterator[bytes]:
            values = read_values(entry)
            for change in changes:
                values = change(values)
            yield values.contiguous().numpy().tobytes()

        return replace(entry, dtype="F32", chunks=chunks) if changes else entry

    def _changes(self, name: str) -> list[Change]:
        """Return what is done with a tensor, in this order; nothing for one that is copied."""
        if name == EMBEDDING:
            return [self.stream.rows]
        if name in (HEAD, GATE[0]):
            return [self._fold(NORM), self.stream.rows]
        if name == NORM:
            return [torch.ones_like]
        if name in (GATE[1], LOOP_SCALE):
            return []
        found = re.fullmatch(r"(model\.layers\.\d+\.)(.+)", name)
        assert found is not None, f"{name} has no place in the plan"
        block, part = found.groups()
        if part in (INPUT_NORM, MLP_NORM):
            return [torch.ones_like]
        changes: list[Change] = []
        if part in NORM_BEFORE:
            changes += [self._fold(block + NORM_BEFORE[part]), self.stream.rows]
        if part.startswith("self_attn.v_proj."):
            changes.append(self.heads.columns)
        if part == "self_attn.o_proj.weight":
            changes.append(self.heads.rows)
        if part in WRITERS:
            changes.append(self.stream.columns)
        assert changes or part in OF_QUERIES_AND_KEYS, f"{name} has no place in the plan"
        return changes

    def _fold(self, norm: str) -> Change:
        return lambda values: values * read_values(self.entries[norm])
