"""A saved model with its ternary weights packed into 2-bit codes."""

from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from transformers.utils.logging import disable_progress_bar

from evaluation.complete_files import complete_folder
from model_cards.checkpoint import LoopLMCheckpoint, read_tokenizer
from modeling_nanochat import LoopLMForCausalLM
from modeling_nanochat.packing_nanochat import PackedMemory


@dataclass(frozen=True)
class PackedFolder:
    """
    Attributes:
        latent_bytes, packed_bytes: Size of the safetensors before and after.
        memory: What the packed weights take in memory.
    """

    latent_bytes: int
    packed_bytes: int
    memory: PackedMemory


def pack(folder: Path, output_dir: Path) -> PackedFolder:
    """
    Save a model with packed weights, and its tokenizer, to a new folder.

    Args:
        folder: A saved LoopLM with its tokenizer.
        output_dir: Folder to write; must be empty or not exist.

    Raises:
        ValueError: The model is not a ternary LoopLM with latent weights, a file of it is damaged, or the output
            folder is not empty.
        OSError: A file is missing, or the output cannot be written.
    """
    for _ in LoopLMCheckpoint.from_folder(folder).checked_tensors():
        pass
    tokenizer = read_tokenizer(folder)
    disable_progress_bar()
    # In the dtype it is stored in: latent weights must not be rounded before they are packed.
    packed = LoopLMForCausalLM.from_pretrained(folder, dtype="auto").pack()
    with complete_folder(output_dir) as partial:
        try:
            packed.save_pretrained(partial)
        except SafetensorError as error:
            raise OSError(f"{output_dir} cannot be written: {error}") from error
        tokenizer.save_pretrained(partial)
    return PackedFolder(_weight_bytes(folder), _weight_bytes(output_dir), packed.packed_memory())


def _weight_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))
