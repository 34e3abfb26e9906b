"""What is counted of a saved model, and never typed: parameters, their ternary share, sizes and depth."""

from dataclasses import dataclass
from math import log2
from pathlib import Path

import torch

from model_cards.checkpoint import Checkpoint
from modeling_nanochat import BitLinear, LoopLMConfig, LoopLMForCausalLM, PackedBitLinear

SCALE_BITS = 16
CACHE_BYTES = 2


@dataclass(frozen=True)
class Counted:
    """
    Attributes:
        config: The model's configuration.
        parameters: Of the model; a tied head counts once.
        ternary_parameters: Of them in ternary matrices.
        dtypes: Types the weights are stored in, such as "float32".
        weight_bytes: Of the weights as they are stored.
    """

    config: LoopLMConfig
    parameters: int
    ternary_parameters: int
    dtypes: tuple[str, ...]
    weight_bytes: int

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> "Counted":
        """
        Counts every tensor of a checkpoint, reading one at a time.

        Raises:
            ValueError: A weight is not finite, or the tensors are not those of the configuration.
        """
        checkpoint.check_names()
        with torch.device("meta"):
            model = LoopLMForCausalLM(checkpoint.config)
        dtypes, weight_bytes = set(), 0
        shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
        if checkpoint.config.tie_word_embeddings:
            del shapes["lm_head.weight"]
        for name, shape in shapes.items():
            tensor = checkpoint.read(name)
            if tuple(tensor.shape) != shape:
                raise ValueError(f"{checkpoint.name}: {name} must have the shape {shape}, got {tuple(tensor.shape)}")
            if not torch.isfinite(tensor).all():
                raise ValueError(f"{checkpoint.name}: every weight must be finite, {name} is not")
            dtypes.add(str(tensor.dtype).removeprefix("torch."))
            weight_bytes += tensor.nbytes
        return cls(
            config=checkpoint.config,
            parameters=model.num_parameters(),
            ternary_parameters=sum(
                each.in_features * each.out_features
                for each in model.modules()
                if isinstance(each, (BitLinear, PackedBitLinear))
            ),
            dtypes=tuple(sorted(dtypes)),
            weight_bytes=weight_bytes,
        )

    @property
    def ternary_share(self) -> float:
        """Of the parameters."""
        return self.ternary_parameters / self.parameters

    @property
    def bits_per_ternary_weight(self) -> float:
        """What a ternary weight can say at most, log2(3), and its share of the fp16 scale of its group."""
        group_size = self.config.ternary_group_size
        return log2(3) + (0 if group_size == -1 else SCALE_BITS / group_size)

    @property
    def cache_bytes_per_token(self) -> int:
        """Of keys and values in 16-bit floats: every loop of every layer keeps its own, or the last loop's alone."""
        width = self.config.num_key_value_heads * self.config.head_dim
        slots = self.config.num_shared_layers if self.config.kv_reuse == "last" else self.config.num_hidden_layers
        return 2 * CACHE_BYTES * width * slots


def file_sizes(folder: Path) -> dict[str, int]:
    """Bytes of each file of a folder, by name."""
    return {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
