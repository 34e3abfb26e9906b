"""The layers of teacher and student whose attention is compared, and their projections in a forward pass."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from math import gcd
from typing import NamedTuple

import torch
from torch import nn
from transformers import PreTrainedModel

from modeling_nanochat import LoopLMConfig, LoopLMModel
from modeling_nanochat.loss_nanochat import IGNORE_INDEX
from modeling_nanochat.packed_nanochat import PackedBitLinear
from trainers.distillation.relations import Projections, documents_of, relation_divergence

PROJECTIONS = ("q_proj", "k_proj", "v_proj")
LINEAR = (nn.Linear, PackedBitLinear)


@dataclass(frozen=True)
class AttentionRelations:
    """
    Settings of the term of the loss that compares attention relations, [`relation_divergence`].

    Attributes:
        weight: Weight of the divergence in the loss of a token, above 0.
        layer: The student's layer, counted from 0 over its stored layers, in the last loop that applies it; None for
            the last layer of the core.
        teacher_layer: The teacher's layer, counted from 0; None for the one at the student's relative depth.
        heads: Number of relation heads.

    Raises:
        ValueError: A value is out of range.
    """

    weight: float
    layer: int | None = None
    teacher_layer: int | None = None
    heads: int = 8

    def __post_init__(self) -> None:
        if not 0 < self.weight < float("inf"):
            raise ValueError(f"attention_relation_weight must be above 0 and finite, got {self.weight!r}")
        if self.heads < 1:
            raise ValueError(f"attention_relation_heads must be at least 1, got {self.heads}")

    def layers(self, teacher: PreTrainedModel, student: LoopLMConfig) -> tuple[int, int]:
        """
        Return the layers of student and teacher. The teacher may be on the meta device.

        Raises:
            ValueError: There is no such layer, the teacher's attention has no separate projections, or the relation
                heads do not divide the widths of queries and keys.
        """
        layout = student.slot_layout
        layer = layout.prelude + layout.core - 1 if self.layer is None else self.layer
        _check_layer("attention_relation_layer", layer, student.num_stored_layers, "student")
        attentions = attentions_of(teacher)
        depths = _depths(teacher.config, len(attentions))
        wanted = _depths(student, student.num_stored_layers)[layer]
        # Of two that are equally near, the later one.
        nearest = min(reversed(range(len(depths))), key=lambda index: abs(depths[index] - wanted))
        teacher_layer = nearest if self.teacher_layer is None else self.teacher_layer
        _check_layer("attention_relation_teacher_layer", teacher_layer, len(attentions), "teacher")

        keys, head_dim = student.head_sizes()
        own = student.num_attention_heads * head_dim, keys * head_dim
        theirs = [_width(attentions[teacher_layer], name) for name in PROJECTIONS]
        common = gcd(*own, *theirs)
        if common % self.heads:
            raise ValueError(
                f"attention_relation_heads must divide {common}, and with it the widths of the queries and keys of "
                f"the student, {own}, and of the teacher, {tuple(theirs[:2])}; got {self.heads}"
            )
        return layer, teacher_layer


class RelationLoss(NamedTuple):
    """
    Attributes:
        loss: Weighted sum of the divergences over tokens, divided by the number of items.
        mean: Mean over the labels in nats, without weight and gradient.
    """

    loss: torch.Tensor
    mean: torch.Tensor


class AttentionComparison:
    """
    The term of the loss for a teacher and a student.

    The student's projections are computed again from the input of the block, outside compiled code and outside what
    checkpointing recomputes, so that they have gradients in every mode. That takes one more product with three
    matrices of one layer per step.

    Args:
        settings: Layers, heads and weight.
        teacher: The teacher.
        student: The student's decoder.

    Raises:
        ValueError: See [`AttentionRelations.layers`].
    """

    def __init__(self, settings: AttentionRelations, teacher: PreTrainedModel, student: LoopLMModel):
        layer, teacher_layer = settings.layers(teacher, student.config)
        self.settings = settings
        self.block = student.layers[layer]
        self.attention = attentions_of(teacher)[teacher_layer]
        self._theirs: dict[str, torch.Tensor] = {}
        self._input: torch.Tensor | None = None

    @contextmanager
    def watched(self) -> Generator[None]:
        """Keep what the forward passes of teacher and student within this context compute; the last loop counts."""
        hooks = [
            self.attention.get_submodule(name).register_forward_hook(partial(self._keep_output, name))
            for name in PROJECTIONS
        ]
        hooks.append(self.block.register_forward_pre_hook(self._keep_input))
        try:
            yield
        finally:
            # Checkpointing applies the block again in the backward pass.
            for hook in hooks:
                hook.remove()

    def loss(
        self, tokens: Mapping[str, torch.Tensor], labels: torch.Tensor, num_items: torch.Tensor | int | None
    ) -> RelationLoss:
        """
        Compute the term for the passes that were watched.

        Args:
            tokens: `input_ids`, and possibly `position_ids` and `attention_mask`, each (batch, seq).
            labels: Labels of the next tokens, (batch, seq); tokens with -100 do not count.
            num_items: Divisor of the sum over tokens; None for the number of labels.
        """
        assert self._input is not None and len(self._theirs) == len(PROJECTIONS), "both passes were watched"
        teacher = Projections(*(self._theirs[name] for name in PROJECTIONS))
        student = Projections(*self.block.attention_projections(self._input))
        self._theirs, self._input = {}, None
        documents = documents_of(tokens["input_ids"], tokens.get("position_ids"), tokens.get("attention_mask"))
        counted = labels != IGNORE_INDEX
        total = relation_divergence(teacher, student, documents, counted, self.settings.heads)
        count = counted.sum().clamp(min=1)
        if num_items is None:
            num_items = count
        elif torch.is_tensor(num_items):
            num_items = num_items.to(total.device)
        return RelationLoss(self.settings.weight * total / num_items, total.detach() / count)

    def _keep_output(self, name: str, _module, _inputs, output: torch.Tensor) -> None:
        self._theirs[name] = output

    def _keep_input(self, _module, inputs: tuple[torch.Tensor, ...]) -> None:
        self._input = inputs[0]


def attentions_of(model: PreTrainedModel) -> list[nn.Module]:
    """
    Return the attention modules with separate linear layers for queries, keys and values, in the order of the layers.

    Raises:
        ValueError: There are none.
    """
    found = [
        module
        for module in model.get_decoder().modules()
        if all(isinstance(dict(module.named_children()).get(name), LINEAR) for name in PROJECTIONS)
    ]
    if not found:
        raise ValueError(
            f"the teacher, a {type(model).__name__}, must have the linear layers {', '.join(PROJECTIONS)} in its "
            "attention for attention_relation_weight above 0, and has none: set it to 0, or take another teacher"
        )
    return found


def _width(attention: nn.Module, name: str) -> int:
    layer = attention.get_submodule(name)
    assert isinstance(layer, LINEAR), "attentions_of finds only these"
    return layer.out_features


def _check_layer(name: str, layer: int, num_layers: int, whose: str) -> None:
    if not 0 <= layer < num_layers:
        raise ValueError(f"{name} must be from 0 to {num_layers - 1}, the last layer of the {whose}, got {layer}")


def _depths(config, num_layers: int) -> list[float]:
    """Share of all applications of blocks that are done after each layer's last one."""
    if not isinstance(config, LoopLMConfig):
        return [(layer + 1) / num_layers for layer in range(num_layers)]
    prelude, core, _ = config.slot_layout
    repeated = (config.num_loops - 1) * core
    ends = [layer + 1 + (repeated if layer >= prelude else 0) for layer in range(num_layers)]
    return [end / (num_layers + repeated) for end in ends]
