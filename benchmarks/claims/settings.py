"""Trainings of small models that the claims compare; without PyTorch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

MODEL: dict[str, Any] = dict(
    vocab_size=2048,
    hidden_size=128,
    intermediate_size=384,
    num_shared_layers=2,
    num_loops=4,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=256,
    ternary_group_size=64,
    exit_entropy_weight=0.1,
)
TRAINING: dict[str, Any] = dict(optimizer="adamw", learning_rate=1e-3)
BATCH_SIZE, SEQ_LEN = 2, 256
CORPUS = "corpus"
ACCEPTED, UNFILTERED, FEW, VARIANTS = "accepted", "unfiltered", "few", "few_and_variants"
"""Texts to train on: files of projects; programs that the compiler accepts, all programs, a small number of the
accepted ones, and these with their variants."""


@dataclass(frozen=True)
class Setting:
    """
    A training.

    Attributes:
        name: Name in files and on the command line.
        title: Name in tables.
        model: Fields of the configuration that differ from `MODEL`.
        training: Fields of the training arguments that differ from `TRAINING`.
        length: Number of steps, as a multiple of that of the others.
        data: Text to train on.
    """

    name: str
    title: str
    model: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    length: float = 1.0
    data: str = CORPUS

    def setup(self, steps: int) -> dict[str, Any]:
        """Return everything that decides about a training but its seed; `steps` are those of a setting of length 1."""
        total = round(steps * self.length)
        size = {"steps": total, "batch_size": BATCH_SIZE, "seq_len": SEQ_LEN, "data": self.data}
        return size | {"model": MODEL | dict(self.model), "training": TRAINING | dict(self.training)}


def _shapes(streams: int, shapes: Sequence[tuple[int, int]], lengths: Sequence[int]) -> list[Setting]:
    """
    Depths by loops and by blocks of their own.

    Args:
        streams: Number of residual streams.
        shapes: Number of blocks and of loops.
        lengths: Further lengths of the training of two blocks without loops.
    """
    suffix, words = (f"_streams_{streams}", f", {streams} streams") if streams > 1 else ("", "")
    shared = {"mhc_num_streams": streams}
    found = [
        Setting(f"blocks_{blocks}_loops_{loops}{suffix}", f"{blocks} blocks, {loops} loops{words}", shared | changes)
        for blocks, loops in shapes
        for changes in ({"num_shared_layers": blocks, "num_loops": loops},)
    ]
    longer = [
        Setting(
            f"blocks_2_loops_1_longer_{length}{suffix}",
            f"2 blocks, 1 loop, {length} times the steps{words}",
            shared | {"num_loops": 1},
            length=length,
        )
        for length in lengths
    ]
    return found + longer


def _optimizers() -> list[Setting]:
    rates = (5e-4, 2e-3, 4e-3, 8e-3)
    adamw = [Setting(f"adamw_{rate:g}", f"AdamW, {rate:g}", training={"learning_rate": rate}) for rate in rates]
    muon = [
        Setting(
            f"muon_lion_{muon:g}_{lion:g}",
            f"Muon {muon:g} and Lion {lion:g}",
            training={"optimizer": "muon_lion", "muon_lr": muon, "lion_lr": lion},
        )
        for muon, lion in ((0.01, 5e-4), (0.01, 2e-3), (0.02, 5e-4), (0.02, 2e-3))
    ]
    return adamw + muon


BASE = "blocks_2_loops_4"
SETTINGS = {
    setting.name: setting
    for setting in (
        *_shapes(1, ((2, 1), (2, 2), (2, 4), (4, 1), (8, 1)), (2, 4)),
        *_shapes(2, ((2, 1), (2, 2), (2, 4)), (4,)),
        Setting("streams_4", "2 blocks, 4 loops, 4 streams", {"mhc_num_streams": 4}),
        Setting(
            "whole_stack", "3 blocks, 2 loops of all", {"num_shared_layers": 3, "num_loops": 2, "loop_loss": "final"}
        ),
        Setting(
            "prelude_core_coda",
            "prelude 1, core 1 with 4 loops, coda 1",
            {
                "num_prelude_layers": 1,
                "num_shared_layers": 1,
                "num_coda_layers": 1,
                "loop_update": "scaled",
                "loop_loss": "final",
            },
        ),
        Setting("float", "float weights", {"ternary": False, "activation_bits": None}),
        Setting("float_activations", "ternary weights, float activations", {"activation_bits": None}),
        Setting("entropy_0", "entropy weight 0", {"exit_entropy_weight": 0.0}),
        Setting("entropy_0.5", "entropy weight 0.5", {"exit_entropy_weight": 0.5}),
        Setting("final_loss", "loss of the last loop", {"loop_loss": "final"}),
        *_optimizers(),
        Setting("accepted", "programs that compile", data=ACCEPTED),
        Setting("unfiltered", "all programs", data=UNFILTERED),
        Setting("few", "an eighth of the programs that compile", data=FEW),
        Setting("few_and_variants", "this eighth and variants of it", data=VARIANTS),
    )
}
