"""
Memory of a training step on one GPU, by part, at the moment of the peak.

The backward pass is followed block by block: activations of the blocks that are still to come, what is computed again
for the present block, and the gradients that exist by then.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields

from modeling_nanochat import LoopLMConfig
from modeling_nanochat.loss_nanochat import CHUNK_BYTES
from modeling_nanochat.recomputation_nanochat import group_size
from recipes.pipeline.plan.activations import (
    BF16,
    FP32,
    Checkpointing,
    after_coda,
    between_loops,
    block_tensors,
    bytes_per_token,
    quantizes_in_blocks,
    selective_tensors,
    state_width,
)
from recipes.pipeline.plan.counts import ParameterCounts, count_parameters
from recipes.pipeline.plan.passes import Pass, training_passes
from recipes.pipeline.plan.teacher import TeacherSize
from trainers.distillation.loss import COPIES, rows_per_chunk
from trainers.training_statistics import training_applications

GIB = 2**30
RESERVE = 1 * GIB
"""Memory that PyTorch does not allocate for tensors: CUDA's context, kernels, workspaces, fragmentation."""
OPTIMIZER_BYTES = {"torch": 4, "bitsandbytes": 4, "bitsandbytes_8bit": 1}
"""Bytes of Lion's state per parameter, by implementation. Muon has 4, AdamW 8."""


@dataclass(frozen=True)
class Step:
    """
    What a GPU does in a training step.

    Attributes:
        config: The configuration of the model.
        tokens: Tokens of a micro-batch.
        checkpointing: Recomputation.
        compiled: Whether blocks are compiled.
        optimizer: `muon_lion`, `adamw`, or None for forward and backward alone.
        lion: Implementation of Lion.
        accumulates: Whether a step has several micro-batches, so that gradients exist before forward.
        shards: Number of GPUs that share weights, gradients and optimizer states (FSDP2).
        has_buckets: Whether gradients have a second copy, in which processes add them up (DDP).
        teacher: Teacher of a stage of distillation.
    """

    config: LoopLMConfig
    tokens: int
    checkpointing: Checkpointing = "none"
    compiled: bool = True
    optimizer: str | None = "muon_lion"
    lion: str = "torch"
    accumulates: bool = False
    shards: int = 1
    has_buckets: bool = False
    teacher: TeacherSize | None = None


@dataclass(frozen=True)
class Memory:
    """
    Bytes on a GPU at one moment.

    Attributes:
        weights: Latent weights in fp32, and with FSDP2 also those that are gathered from the other GPUs.
        gradients: In fp32, with those of quantized weights in bf16 until the end, and with DDP copies in buckets.
        optimizer_states: Momentum buffers and moments.
        quantized_weights: Quantized weights in bf16, for all loops or for each application of a compiled block.
        activations: Of the blocks and between the loops.
        recomputed: Activations that are computed again for the backward pass of a block or of a loop.
        loss: Gradients of the heads' inputs and weight, and chunks of logits.
        temporary: Gradients within a block or within the optimizer.
        teacher: Weights of a teacher, and its predictions or what a forward pass needs for them.
    """

    weights: int
    gradients: int
    optimizer_states: int
    quantized_weights: int = 0
    activations: int = 0
    recomputed: int = 0
    loss: int = 0
    temporary: int = 0
    teacher: int = 0

    @property
    def allocated(self) -> int:
        """Bytes of all tensors, as `torch.cuda.max_memory_allocated` counts them."""
        return sum(getattr(self, field.name) for field in fields(self))

    @property
    def total(self) -> int:
        """Bytes that a GPU must have."""
        return self.allocated + RESERVE


def peak_memory(step: Step) -> Memory:
    """Return the memory at the moment of a step at which it is largest."""
    return max(_moments(step), key=lambda memory: memory.allocated)


def kept_activations(step: Step) -> int:
    """Bytes of activations after forward, without quantized weights and without the loss."""
    parts = _Parts(step)
    return sum(parts.kept_by(each) + parts.kept_after(each) for each in training_passes(step.config))


def quantized_weights(step: Step) -> int:
    """Bytes of quantized weights after forward."""
    parts = _Parts(step)
    return parts.cached_weights + training_applications(step.config) * parts.weights_by_application


def kept_by_loss(step: Step) -> int:
    """Bytes that the loss keeps: gradients of the hidden states and of the head, computed in forward."""
    parts = _Parts(step)
    return parts.head + parts.hidden_gradients


class _Parts:
    """Sizes in bytes of what a step consists of."""

    def __init__(self, step: Step):
        config, tokens = step.config, step.tokens
        counts = count_parameters(config)
        self.tokens, self.config, self.counts = tokens, config, counts
        self.teacher = step.teacher
        self.teacher_weights = 0 if step.teacher is None else step.teacher.weights
        self.teacher_in_loss = 0 if step.teacher is None else step.teacher.weights + step.teacher.kept * tokens
        self.block_matrices = counts.matrices // config.num_stored_layers
        self.state = FP32 * state_width(config) * tokens
        self.block = bytes_per_token(block_tensors(config, step.compiled)) * tokens
        self.selective = bytes_per_token(selective_tensors(config)) * tokens
        self.head = FP32 * config.vocab_size * config.hidden_size
        self.hidden_gradients = FP32 * config.predicted_loops * config.hidden_size * tokens
        in_bf16, in_blocks = BF16 * self.block_matrices, quantizes_in_blocks(config, step.compiled)
        self.block_weights = in_bf16 if in_blocks else 0
        self.cached_weights = 0 if in_blocks else in_bf16 * config.num_stored_layers
        kept = {"none": self.block, "selective": self.selective, "layer": self.state}
        self.by_application = kept.get(step.checkpointing, 0)
        self.checkpointing = step.checkpointing
        self.start_of_pass = self.state if step.checkpointing in ("loop", "group") else 0
        self.weights_by_application = self.block_weights if step.checkpointing == "none" else 0
        again = {"none": 0, "selective": self.block - self.selective}.get(step.checkpointing, self.block)
        self.recomputed = max(0, again) + (self.block_weights if step.checkpointing != "none" else 0)

    def kept_by(self, part: Pass, layers: int | None = None) -> int:
        """
        Bytes that the first `layers` blocks of a pass keep; None for all. A loop after a coda has the coda's input,
        which is counted there.
        """
        blocks = (part.layers if layers is None else layers) * self.by_application
        follows_coda = self.config.num_coda_layers > 0 and self.config.predicted_loops > 1
        is_shared = part.part == "core" and part.loop > 0 and follows_coda
        return blocks + self.start_of_pass - (self.state if is_shared else 0)

    def kept_after(self, part: Pass) -> int:
        """Bytes that a pass keeps besides its blocks."""
        if part.part == "prelude":
            return 0
        if part.part == "coda":
            return bytes_per_token(after_coda(self.config)) * self.tokens
        # Checkpointing by loop computes the way to the core's output again.
        way = self.state if part.is_update and self.start_of_pass == 0 else 0
        is_last = part.loop == self.config.num_loops - 1
        return way + bytes_per_token(between_loops(self.config, is_last)) * self.tokens

    def inputs_in_pass(self, part: Pass, layer: int) -> int:
        """
        Bytes of the inputs that were computed again and are needed when backward reaches a block: of the groups of the
        pass, and of the blocks of the present group. The inputs of the first group and block are counted elsewhere.
        """
        if self.checkpointing not in ("loop", "group"):
            return 0
        group = part.layers if self.checkpointing == "loop" else group_size(part.layers)
        return (layer // group + layer % group) * self.state

    def logits(self) -> int:
        """Bytes of a chunk of logits in fp32, and of what is computed from it."""
        vocab_size, loops = self.config.vocab_size, self.config.predicted_loops
        if self.teacher is not None:
            rows = min(rows_per_chunk("default", vocab_size), self.tokens)
            return FP32 * rows * (COPIES * vocab_size + self.teacher.vocab_size)
        rows = max(32, CHUNK_BYTES["default"] // (4 * vocab_size))
        return FP32 * vocab_size * min(rows, loops * self.tokens) * 3 // 2

    def in_backward_of_block(self) -> int:
        """Bytes of the gradients within a block: of its input, output, hidden widths and weights."""
        width, wide = self.config.hidden_size, self.config.intermediate_size
        activations = self.tokens * (FP32 * width + BF16 * 3 * wide)
        return 2 * self.state + activations + FP32 * self.block_matrices


def _moments(step: Step) -> Iterator[Memory]:
    """Memory at the moments that may be the peak: in the loss, in backward of each block, and in the optimizer."""
    parts, counts, config = _Parts(step), count_parameters(step.config), step.config
    weights, gradients, states = _resident(step, counts)
    layers = config.num_stored_layers
    kept, quantized = kept_activations(step), quantized_weights(step)
    before = gradients if step.accumulates else 0
    buckets = FP32 * counts.unique if step.has_buckets else 0

    def moment(gradients: int, teacher: int = parts.teacher_weights, **others: int) -> Memory:
        gradients += buckets
        return Memory(weights=weights, optimizer_states=states, gradients=gradients, teacher=teacher, **others)

    if step.teacher is not None:
        yield moment(
            before, teacher=parts.teacher_weights + (step.teacher.kept + step.teacher.temporary) * step.tokens
        )
    head_copies = 2 * BF16 * config.vocab_size * config.hidden_size
    in_loss = parts.hidden_gradients + parts.head + parts.logits() + head_copies
    yield moment(
        before,
        teacher=parts.teacher_in_loss,
        quantized_weights=quantized,
        activations=kept,
        loss=in_loss,
        temporary=parts.hidden_gradients,
    )
    twice = 2 * (parts.hidden_gradients + parts.head)
    yield moment(before, quantized_weights=quantized, activations=kept, loss=twice)

    block_gradients = gradients * counts.blocks // counts.unique // layers
    other_gradients = gradients - layers * block_gradients
    activations, applied, finished = kept, training_applications(config), set()
    for part in reversed(list(training_passes(config))):
        activations -= parts.kept_by(part) + parts.kept_after(part)
        applied -= part.layers
        for layer in reversed(range(part.layers)):
            finished.add(part.first + layer)
            done = block_gradients * len(finished)
            # Gradients of weights that are quantized once add up in bf16, and become fp32 at the end.
            if parts.cached_weights:
                so_far = (before or other_gradients) + done * BF16 // FP32
            else:
                so_far = before or other_gradients + done
            yield moment(
                so_far,
                quantized_weights=parts.cached_weights + (applied + layer + 1) * parts.weights_by_application,
                activations=activations + parts.kept_by(part, layer + 1),
                recomputed=parts.recomputed + parts.inputs_in_pass(part, layer),
                loss=parts.hidden_gradients,
                temporary=parts.in_backward_of_block(),
            )
    if step.optimizer is not None:
        yield moment(gradients, temporary=_in_optimizer(step, counts))


def _resident(step: Step, counts: ParameterCounts) -> tuple[int, int, int]:
    """Bytes of weights, gradients and optimizer states; sharded where FSDP2 does so."""
    weights = gradients = FP32 * counts.unique
    if step.optimizer is None:
        states = 0
    elif step.optimizer == "adamw":
        states = 8 * counts.unique
    else:
        states = 4 * counts.matrices + OPTIMIZER_BYTES[step.lion] * (counts.unique - counts.matrices)
    if step.shards > 1:
        weights = weights // step.shards + BF16 * counts.unique
        gradients, states = gradients // step.shards, states // step.shards
    return weights, gradients, states


def _in_optimizer(step: Step, counts: ParameterCounts) -> int:
    if step.optimizer == "adamw":
        return 0
    updates = FP32 * (counts.unique - counts.matrices) // step.shards if step.lion == "torch" else 0
    largest = step.config.hidden_size * max(step.config.intermediate_size, step.config.hidden_size)
    # The Nesterov update in fp32 and the iteration's matrices in bf16.
    return max(updates, largest * (FP32 + 4 * BF16))
