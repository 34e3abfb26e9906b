"""
The tensors of a LoopLM by name, from a saved folder (one tensor in memory at a time) or from a model; and the
tokenizer that is saved with it.
"""

import json
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from modeling_nanochat import LoopLMConfig, LoopLMForCausalLM
from modeling_nanochat.packed_nanochat import unpack_codes, unpack_weight
from modeling_nanochat.ternary_nanochat import quantize_weight, ternary_codes

GENERATION = "generation_config.json"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
TOKENIZER = "tokenizer.json"
TOKENIZER_FILES = (TOKENIZER, "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
CODES, SCALES = "_codes", "_scales"
"""Suffixes of the two tensors of a packed weight."""


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file of a saved model; raises ValueError when the file holds none or is damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged, it is not valid JSON: {error}. Copy it again.") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} must hold an object in JSON, got {type(found).__name__}")
    return found


def read_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """
    Load the tokenizer in the folder of a saved model.

    Raises:
        FileNotFoundError: The folder has no tokenizer.json.
        ValueError: A file of the tokenizer is damaged.
    """
    if not (folder / TOKENIZER).is_file():
        raise FileNotFoundError(
            f"{folder} must hold a model with its tokenizer: it has no {TOKENIZER}, which tokenizer.save_pretrained "
            "writes"
        )
    for name in TOKENIZER_FILES:
        if (folder / name).is_file():
            read_json(folder / name)
    return AutoTokenizer.from_pretrained(folder)


@dataclass(frozen=True)
class LoopLMCheckpoint:
    """
    The tensors of a LoopLM, read when they are asked for.

    Attributes:
        config: The model's configuration.
        names: Names of all tensors; a packed weight has the name of the latent weight that it was made from.
        read: Return a stored tensor by its name, in the dtype it is stored in.
        name: Name of the checkpoint in messages.
    """

    config: LoopLMConfig
    names: frozenset[str]
    read: Callable[[str], torch.Tensor]
    name: str

    @classmethod
    def from_model(cls, model: LoopLMForCausalLM) -> "LoopLMCheckpoint":
        """Use the tensors of a model, without copying them."""
        tensors = model.state_dict()
        if model.config.tie_word_embeddings:
            tensors.pop("lm_head.weight")
        return cls(model.config, _names(tensors.keys()), tensors.__getitem__, "the model")

    @classmethod
    def from_folder(cls, folder: str | Path) -> "LoopLMCheckpoint":
        """
        Use the tensors in a folder that `save_pretrained` wrote, each read from its file when it is asked for.

        Raises:
            FileNotFoundError: The folder lacks its configuration or its weights.
            ValueError: The configuration is not of a LoopLM, or a file of weights is damaged; `read` raises it, too.
        """
        folder = Path(folder)
        # Earlier saves may have left the other form. transformers prefers the single file to the shards.
        sharded = (folder / INDEX).exists() and not (folder / WEIGHTS).exists()
        for needed in ("config.json", INDEX if sharded else WEIGHTS):
            if not (folder / needed).exists():
                raise FileNotFoundError(f"{folder} must be a folder that save_pretrained wrote: it has no {needed}")
        model_type = read_json(folder / "config.json").get("model_type")
        if model_type != LoopLMConfig.model_type:
            raise ValueError(
                f"{folder} must hold a LoopLM, whose config.json says model_type {LoopLMConfig.model_type!r}, got "
                f"{model_type!r}"
            )
        if (folder / GENERATION).exists():
            read_json(folder / GENERATION)
        if sharded:
            files = read_json(folder / INDEX).get("weight_map")
            if not isinstance(files, dict):
                raise ValueError(f"{folder / INDEX} must name the file of each tensor under weight_map")
        else:
            with _weights(folder / WEIGHTS) as file:
                files = dict.fromkeys(file.keys(), WEIGHTS)
        for name in sorted(set(files.values())):
            if not (folder / name).is_file():
                raise FileNotFoundError(f"{folder} lacks {name}, which {INDEX} names. Copy it again.")
            # Opening fails for a file that was copied only in part.
            with _weights(folder / name):
                pass

        def read(name: str) -> torch.Tensor:
            with _weights(folder / files[name]) as file:
                return file.get_tensor(name)

        return cls(LoopLMConfig.from_pretrained(folder), _names(files.keys()), read, str(folder))

    def check_names(self) -> None:
        """Raise ValueError unless the checkpoint has exactly the tensors of its configuration."""
        with torch.device("meta"):
            needed = LoopLMCheckpoint.from_model(LoopLMForCausalLM(self.config)).names
        extra, missing = self.names - needed, needed - self.names
        if extra or missing:
            fault = f"lacks {sorted(missing)[:3]}" if missing else f"also has {sorted(extra)[:3]}"
            raise ValueError(
                f"{self.name} must have exactly the tensors of its configuration: it {fault}. Adapters must be merged "
                "first."
            )

    def checked_tensors(self) -> Iterator[torch.Tensor]:
        """
        Read all tensors, one at a time, and check them.

        Raises:
            ValueError: The tensors are not those of the configuration, or one has another shape, NaN or infinity.
        """
        self.check_names()
        with torch.device("meta"):
            shapes = {name: tuple(each.shape) for name, each in LoopLMForCausalLM(self.config).state_dict().items()}
        if self.config.tie_word_embeddings:
            del shapes["lm_head.weight"]
        for name, shape in shapes.items():
            tensor = self.read(name)
            if tuple(tensor.shape) != shape:
                raise ValueError(f"{self.name}: {name} must have the shape {shape}, got {tuple(tensor.shape)}")
            if not torch.isfinite(tensor).all():
                raise ValueError(f"{self.name}: every weight must be finite, {name} is not")
            yield tensor

    def read_finite(self, name: str) -> torch.Tensor:
        """Return a stored tensor by its name; raises ValueError when it holds NaN or infinity."""
        tensor = self.read(name)
        if not torch.isfinite(tensor).all():
            raise ValueError(f"{self.name}: {name} must be finite, got NaN or infinity")
        return tensor

    def ternary_codes(self, name: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Return codes and scales of a ternary weight, latent or packed, in the form of [`ternary_codes`]."""
        if self.config.weight_format == "packed":
            return unpack_codes(self.read(name + CODES)), self.read_finite(name + SCALES).float()
        return ternary_codes(self.read_finite(name), self.config.ternary_group_size)

    def quantized_weight(self, name: str) -> torch.Tensor:
        """Return the dequantized ternary weight that the model multiplies with, fp32 (out_features, in_features)."""
        if self.config.weight_format == "packed":
            return unpack_weight(self.read(name + CODES), self.read_finite(name + SCALES))
        return quantize_weight(self.read_finite(name), self.config.ternary_group_size, torch.float32)


def _names(stored: Set[str]) -> frozenset[str]:
    """Names of tensors, with one name for the codes and the scales of each packed weight."""
    weights = {name.removesuffix(CODES) for name in stored if name.endswith(CODES)}
    weights = {weight for weight in weights if weight + SCALES in stored}
    return frozenset(stored - {weight + part for weight in weights for part in (CODES, SCALES)} | weights)


@contextmanager
def _weights(path: Path) -> Iterator[safe_open]:
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged or belongs to another checkpoint: {error}. Copy it again.") from error
