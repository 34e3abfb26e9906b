"""From the folder of a saved model to a GGUF file that may have been compared with the model in llama.cpp."""

from dataclasses import dataclass
from pathlib import Path

import torch

from evaluation.device import inference_device
from model_cards.checkpoint import LoopLMCheckpoint, read_tokenizer
from model_cards.gguf.export import export_gguf
from model_cards.gguf.file import GgufFile
from model_cards.gguf.limits import ignored_settings
from model_cards.gguf.verify import Agreement, verify_gguf
from modeling_nanochat import LoopLMForCausalLM


@dataclass(frozen=True)
class ExportedFolder:
    """
    Attributes:
        file: The file that was written.
        ignored: Decoding settings of the model that llama.cpp ignores, a sentence each.
        agreement: Result of the comparison in llama.cpp; None when none was asked for.
    """

    file: GgufFile
    ignored: tuple[str, ...]
    agreement: Agreement | None


def export_folder(
    folder: Path,
    output: Path,
    *,
    type: str = "q4_0",
    embedding_type: str | None = None,
    head_type: str | None = None,
    verify: bool = False,
    unrolled: bool = False,
) -> ExportedFolder:
    """
    Write a saved model to a GGUF file that has the name of the folder in it.

    Args:
        folder: A saved LoopLM, latent or packed, with its tokenizer.
        output, type, embedding_type, head_type, unrolled: See [`export_gguf`].
        verify: Also run the file in llama.cpp and compare it with the model. See [`verify_gguf`].

    Raises:
        ValueError, OSError: The folder cannot be read, or the model cannot be exported; see [`export_gguf`].
    """
    checkpoint = LoopLMCheckpoint.from_folder(folder)
    tokenizer = read_tokenizer(folder)
    file = export_gguf(
        checkpoint,
        tokenizer,
        output,
        type=type,
        embedding_type=embedding_type,
        head_type=head_type,
        name=folder.resolve().name,
        unrolled=unrolled,
    )
    agreement = verify_gguf(file.path, load_float32(folder), tokenizer) if verify else None
    return ExportedFolder(file, tuple(ignored_settings(checkpoint.config)), agreement)


def load_float32(folder: Path) -> LoopLMForCausalLM:
    """Load a saved model as [`verify_gguf`] needs it."""
    return LoopLMForCausalLM.from_pretrained(folder, dtype=torch.float32).eval().to(inference_device())
