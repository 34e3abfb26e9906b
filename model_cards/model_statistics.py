"""Statistics of a saved model, counted from its tensors: parameters, their ternary share, and sizes."""

from dataclasses import dataclass
from math import log2
from pathlib import Path

import torch

from model_cards.checkpoint import LoopLMCheckpoint
from modeling_nanochat import BitLinear, LoopLMConfig, LoopLMForCausalLM, PackedBitLinear

SCALE_BITS = 16
CACHE_BYTES = 2


@dataclass(frozen=True)
class ModelStatistics:
    """
    Statistics of a LoopLM.

    Attributes:
        config: The model's configuration.
        parameters: Number of parameters; a tied head counts once.
        ternary_parameters: Number of parameters in ternary matrices.
        dtypes: Types the weights are stored in, such as "float32".
        weight_bytes: Size of the weights as they are stored.
    """

    config: LoopLMConfig
    parameters: int
    ternary_parameters: int
    dtypes: tuple[str, ...]
    weight_bytes: int

    @classmethod
    def from_checkpoint(cls, checkpoint: LoopLMCheckpoint) -> "ModelStatistics":
        """
        Read every tensor of a checkpoint, one at a time, and count.

        Raises:
            ValueError: A weight is not finite, or the tensors are not those of the configuration.
        """
        dtypes, weight_bytes = set(), 0
        for tensor in checkpoint.checked_tensors():
            dtypes.add(str(tensor.dtype).removeprefix("torch."))
            weight_bytes += tensor.nbytes
        with torch.device("meta"):
            model = LoopLMForCausalLM(checkpoint.config)
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
        """Share of the parameters that are ternary."""
        return self.ternary_parameters / self.parameters

    @property
    def bits_per_ternary_weight(self) -> float:
        """Information of a ternary weight, log2(3) bits, plus its share of the fp16 scale of its group."""
        group_size = self.config.ternary_group_size
        return log2(3) + (0 if group_size == -1 else SCALE_BITS / group_size)

    @property
    def cache_bytes_per_token(self) -> int:
        """
        Size of the key-value cache in 16-bit floats: of every application of every layer, or of the last loop's for
        `kv_reuse="last"`.
        """
        width = self.config.num_key_value_heads * self.config.head_dim
        return 2 * CACHE_BYTES * width * self.config.num_cache_slots(self.config.num_loops)


def file_sizes(folder: Path, *, group_code: bool = False) -> dict[str, int]:
    """
    Return the size in bytes of each file in a folder and its subfolders, by its path in the folder.

    Args:
        folder: The folder.
        group_code: Sum up the .py files under the name "model code (*.py)".
    """
    sizes: dict[str, int] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        name = "model code (*.py)" if group_code and path.suffix == ".py" else name
        sizes[name] = sizes.get(name, 0) + path.stat().st_size
    return sizes
