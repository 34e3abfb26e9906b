"""The passes of a training step through prelude, core and coda, in the order of the forward pass."""

from collections.abc import Iterator
from dataclasses import dataclass

from modeling_nanochat import LoopLMConfig


@dataclass(frozen=True)
class Pass:
    """
    One pass through the layers of prelude, core or coda, which checkpointing by loop recomputes as a whole.

    Attributes:
        part: "prelude", "core" or "coda".
        loop: Index of the loop, counted from 0.
        first: Index of its first layer in the model.
        layers: Number of its layers, at least 1.
        is_update: Whether the state moves only by a scale towards the output (`loop_update="scaled"`).
    """

    part: str
    loop: int
    first: int
    layers: int
    is_update: bool = False


def training_passes(config: LoopLMConfig) -> Iterator[Pass]:
    """Yield the passes of a training step; the coda follows those loops, the last ones, that have a loss."""
    prelude, core, coda = config.slot_layout
    if prelude:
        yield Pass("prelude", 0, 0, prelude)
    for loop in range(config.num_loops):
        yield Pass("core", loop, prelude, core, config.loop_update == "scaled" and loop > 0)
        if coda and loop >= config.num_loops - config.predicted_loops:
            yield Pass("coda", loop, prelude + core, coda)
