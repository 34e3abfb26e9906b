"""The teacher: a frozen causal language model whose predictions a student learns."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedConfig, PreTrainedModel

from evaluation.loading import load_config, load_model
from modeling_nanochat import LoopLMConfig, LoopLMForCausalLM
from trainers.data.manifest import file_identities
from trainers.distillation.targets import DenseTargets

PROBE_LENGTH = 8
"""Tokens of each probe document."""
WEIGHT_SUFFIXES = (".safetensors", ".bin")


@dataclass(frozen=True)
class Teacher:
    """
    A model in evaluation mode, without gradients.

    Attributes:
        model: The model.
        head: Its head, where its logits are the head's product of its last hidden states; None where it does more,
            such as capping the logits, so that all of them are computed at once.
        autocast: Whether its matrix products run in bf16 under autocast.
    """

    model: PreTrainedModel
    head: nn.Linear | None
    autocast: bool

    @classmethod
    def load(cls, name: str, bf16: bool, device: torch.device) -> "Teacher":
        """
        Load a teacher from a folder or the Hub.

        Args:
            name: The folder, or the name on the Hub.
            bf16: Whether the training computes in bf16.
            device: Device of the training.

        Raises:
            ValueError: The model cannot be loaded, see [`load_model`].
        """
        dtype = weights_dtype(load_config(name), bf16)
        model, _ = load_model(name, dtype=str(dtype).removeprefix("torch."), device=str(device))
        return cls.of(model, bf16)

    @classmethod
    def of(cls, model: PreTrainedModel, autocast: bool = False) -> "Teacher":
        """Use a loaded model, which is frozen and put into evaluation mode."""
        model.eval().requires_grad_(False)
        return cls(model, _plain_head(model), autocast)

    @torch.no_grad()
    def targets(self, inputs: Mapping[str, torch.Tensor], temperature: float) -> DenseTargets:
        """
        Compute the predictions of a batch.

        Args:
            inputs: Arguments of the model: `input_ids`, and possibly `attention_mask` and `position_ids`, each
                `(batch, seq)`.
            temperature: Divisor of the logits.

        Returns:
            Targets for the `batch * seq` tokens.
        """
        with torch.autocast(self.model.device.type, dtype=torch.bfloat16, enabled=self.autocast):
            if self.head is None:
                logits = self.model(**inputs, use_cache=False).logits
                return DenseTargets(logits.flatten(0, 1), torch.Tensor.float, temperature)
            states = self.model.get_decoder()(**inputs, use_cache=False).last_hidden_state
        weight = self.head.weight.to(torch.bfloat16) if self.autocast else self.head.weight
        return DenseTargets(states.flatten(0, 1).to(weight.dtype), partial(_logits, weight), temperature)

    @torch.no_grad()
    def check_documents(self) -> None:
        """
        Check that position ids keep the documents of a row apart, as `data.document_masking` expects.

        Raises:
            ValueError: A document sees the one before it, or the model takes no position ids.
        """
        tokens = torch.arange(2 * PROBE_LENGTH, device=self.model.device)[None] % self.model.config.vocab_size
        positions = torch.arange(PROBE_LENGTH, device=self.model.device).repeat(2)[None]
        alone = self.model(input_ids=tokens[:, PROBE_LENGTH:], use_cache=False).logits[0]
        joined = self.model(input_ids=tokens, use_cache=False).logits[0, PROBE_LENGTH:]
        try:
            apart = self.model(input_ids=tokens, position_ids=positions, use_cache=False).logits[0, PROBE_LENGTH:]
        except TypeError:
            apart = joined
        if (apart - alone).abs().max() > 0.1 * (joined - alone).abs().max():
            raise ValueError(
                f"the teacher, a {type(self.model).__name__}, must keep the documents of a block apart by position "
                "ids with data.document_masking=True, and does not: set data.document_masking=False, or take another "
                "teacher"
            )


def weights_dtype(config: PreTrainedConfig, bf16: bool) -> torch.dtype:
    """
    Return the dtype of a teacher's weights: that of the training, but fp32 for latent ternary weights, of which some
    would be rounded to other ternary ones.
    """
    is_rounded = isinstance(config, LoopLMConfig) and config.ternary
    return torch.bfloat16 if bf16 and not is_rounded else torch.float32


def teacher_identity(name: str) -> dict[str, str]:
    """
    Return what tells a teacher from another one: the hashes of the files in its folder by name, or the commit on the
    Hub.

    Raises:
        ValueError: There is no such model.
    """
    config = load_config(name)
    folder = Path(name)
    if not folder.is_dir():
        return {"commit": str(config._commit_hash)}
    return file_identities(
        path for path in sorted(folder.iterdir()) if path.name == "config.json" or path.suffix in WEIGHT_SUFFIXES
    )


def _logits(weight: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    # As the student's loss does, so that equal models have equal logits, bit by bit.
    return (rows @ weight.t()).float()


@torch.no_grad()
def _plain_head(model: PreTrainedModel) -> nn.Linear | None:
    """The model's head, if its logits are the head's product of the last hidden states, as a probe shows."""
    head = model.get_output_embeddings()
    if type(head) is not nn.Linear or head.bias is not None:
        return None
    if isinstance(model, LoopLMForCausalLM):
        return head
    tokens = torch.arange(PROBE_LENGTH, device=model.device)[None] % model.config.get_text_config().vocab_size
    found = model.get_decoder()(input_ids=tokens, use_cache=False).last_hidden_state
    if found.shape[-1] != head.in_features:
        return None
    expected = model(input_ids=tokens, use_cache=False).logits
    return head if torch.allclose(F.linear(found, head.weight), expected, rtol=1e-3, atol=1e-3) else None
