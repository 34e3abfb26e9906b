"""`--init-from FOLDER`: the saved model that the first stage of a run starts from, instead of a new one."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast

from model_cards.checkpoint import INDEX, TOKENIZER_FILES, WEIGHTS, LoopLMCheckpoint, read_json, read_tokenizer
from modeling_nanochat import LoopLMConfig, LoopLMForCausalLM
from trainers.conversion.families import FAMILIES
from trainers.data.manifest import file_identities
from trainers.data.tokenizer import special_token_ids

SECTION = "init_from"
"""Section of the settings in a run's folder."""
CONFIG = "config.json"


@dataclass(frozen=True, kw_only=True)
class InitialModel:
    """
    The model in a folder.

    Attributes:
        folder: Folder that `save_pretrained` wrote, with the tokenizer.
        files: SHA-256 of the files of configuration, weights and tokenizer, by name.
    """

    folder: Path
    files: Mapping[str, str]

    @classmethod
    def read(cls, folder: Path) -> "InitialModel":
        """
        Check the model in a folder, which must be a LoopLM with latent weights and a tokenizer.

        Raises:
            ValueError, OSError: A file is missing or damaged, a weight has another shape than the configuration says
                or is not finite, the weights are packed, or the tokenizer lacks a token or has more than the model.
        """
        folder = folder.resolve()
        if not (folder / CONFIG).is_file():
            raise ValueError(f"--init-from must be the folder of a saved model with its {CONFIG}, got {folder}")
        model_type = read_json(folder / CONFIG).get("model_type")
        if model_type in FAMILIES:
            raise ValueError(
                f"--init-from must be the folder of a LoopLM, got a checkpoint of {model_type} in {folder}: convert "
                f"it with nanochat-ternary convert --model {folder} --output-dir LOOPLM"
            )
        checkpoint = LoopLMCheckpoint.from_folder(folder)
        if checkpoint.config.weight_format != "latent":
            raise ValueError(
                f"--init-from must be the folder of a model with latent weights, got packed ones in {folder}, which "
                "cannot be trained: take the folder that they were packed from"
            )
        for _ in checkpoint.checked_tensors():
            pass
        _check_tokenizer(folder, checkpoint.config)
        return cls(folder=folder, files=_identities(folder))

    @property
    def config(self) -> LoopLMConfig:
        """Configuration of the model."""
        return LoopLMConfig.from_pretrained(self.folder)

    def tokenizer(self) -> PreTrainedTokenizerFast:
        """Return the model's tokenizer."""
        return read_tokenizer(self.folder)

    def config_with(self, changes: Mapping[str, Any]) -> LoopLMConfig:
        """
        Return the configuration with some fields changed.

        Raises:
            ValueError: The weights do not fit the changed configuration, or a value breaks its rule.
        """
        before = self.config
        changed = LoopLMConfig.from_dict(before.to_dict() | dict(changes))
        if _shapes(changed) != _shapes(before):
            values = ", ".join(f"model.{name}={value}" for name, value in changes.items())
            raise ValueError(
                f"{values} must leave the weights of the model in {self.folder} their names and shapes: leave out "
                "those settings of the model that change them"
            )
        return changed

    def check_unchanged(self) -> None:
        """
        Check that the folder still holds the model with which the run was started.

        Raises:
            ValueError: Names the first file that differs or is missing.
        """
        now = _identities(self.folder) if self.folder.is_dir() else {}
        for name in sorted(self.files.keys() | now.keys()):
            if self.files.get(name) != now.get(name):
                found = (
                    "has changed"
                    if name in self.files and name in now
                    else "is missing"
                    if name not in now
                    else "is new"
                )
                raise ValueError(
                    f"the run starts from the model in {self.folder}, where {name} {found} since the run was started: "
                    "put the former file back, or start a new run with --overwrite"
                )

    def build(self, config: LoopLMConfig) -> LoopLMForCausalLM:
        """Load the model for training, in fp32, under a configuration that its weights fit."""
        model = LoopLMForCausalLM.from_pretrained(self.folder, config=config, dtype=torch.float32)
        for name in ("pad_token_id", "bos_token_id", "eos_token_id"):
            setattr(model.generation_config, name, getattr(config, name))
        return model


def write_stand_in(config: LoopLMConfig, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write an untrained model with a tokenizer, which takes the place of a large one in a dry run."""
    LoopLMForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _check_tokenizer(folder: Path, config: LoopLMConfig) -> None:
    tokenizer = read_tokenizer(folder)
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise ValueError(f"the tokenizer in {folder} must be a fast one, got {type(tokenizer).__name__}")
    for name, token_id in special_token_ids(tokenizer).items():
        if token_id is None:
            token = name.removesuffix("_id")
            raise ValueError(f"the tokenizer in {folder} must have a {token}, got none; set it and save it there")
    if len(tokenizer) > config.vocab_size:
        raise ValueError(
            f"the model in {folder} must have an embedding for every token of its tokenizer, got "
            f"vocab_size={config.vocab_size} for {len(tokenizer)} tokens"
        )


def _identities(folder: Path) -> dict[str, str]:
    sharded = (folder / INDEX).exists() and not (folder / WEIGHTS).exists()
    shards = sorted(set(read_json(folder / INDEX)["weight_map"].values())) if sharded else []
    names = (CONFIG, *((INDEX, *shards) if sharded else (WEIGHTS,)), *TOKENIZER_FILES)
    return file_identities(folder / name for name in names if (folder / name).is_file())


def _shapes(config: LoopLMConfig) -> dict[str, torch.Size]:
    with torch.device("meta"):
        return {name: tensor.shape for name, tensor in LoopLMForCausalLM(config).state_dict().items()}
