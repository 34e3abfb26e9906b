"""A float LoopLM becomes a ternary one: the weights of its blocks become the latent weights of ternary layers."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from evaluation.complete_files import complete_file
from modeling_nanochat import LoopLMConfig
from trainers.conversion.checkpoint import read_config, read_tensors
from trainers.conversion.family import Family
from trainers.conversion.rotation import added_parameters, rotated
from trainers.conversion.rounding import RoundingCost, check_group_size, read_text, rounding_cost
from trainers.conversion.source import Source
from trainers.conversion.writing import write_model

RECORD = "ternarize.json"
"""File in the folder of the ternary model that says how it was made."""
LOOPLM = Family(LoopLMConfig.model_type, dict, has_gate=True)


@dataclass(frozen=True)
class Ternarized:
    """
    Record of a model that was made ternary.

    Attributes:
        model: Folder of the float model.
        group_size: Weights per scale, -1 for all of a matrix.
        rotated: Whether the model was rotated.
        added_parameters: Parameters of the head of a rotated model that shared its embedding's before.
        cross_entropy: Of a text, in nats per token, before and after the rounding; None where none was given.
    """

    model: str
    group_size: int
    rotated: bool
    added_parameters: int
    cross_entropy: RoundingCost | None = None

    def write(self, path: Path) -> None:
        """Write the record as JSON."""
        measured = None if self.cross_entropy is None else self.cross_entropy._asdict()
        content = asdict(self) | {"cross_entropy": measured}
        with complete_file(path) as file:
            file.write_text(json.dumps(content, indent=2) + "\n")


def ternarize_model(
    model: Path, output_dir: Path, group_size: int | None = None, rotate: bool = False, text: Path | None = None
) -> Ternarized:
    """
    Write the ternary model of a float LoopLM, with the same latent weights, and beside it the record
    `ternarize.json`. Tensors are copied in parts; with `rotate`, one tensor at a time is in memory.

    Args:
        model: Folder of the float LoopLM.
        output_dir: Folder to write; it must not exist.
        group_size: Weights per scale, -1 for all of a matrix; None for the one in config.json (128 by default).
        rotate: Rotate the model first, see [`rotated`].
        text: File whose cross-entropy is measured with and without rounding.

    Raises:
        ValueError: `model` is not the folder of a float LoopLM, is not complete, or cannot be rotated; the group size
            does not divide its widths; `output_dir` exists; the text is empty or there is no tokenizer to read it
            with.
    """
    if output_dir.exists():
        raise ValueError(f"output_dir must not exist yet, got {str(output_dir)!r}")
    source = _read_float(model, group_size)
    content = read_text(text, source.tokenizer)
    added = added_parameters(source.config) if rotate else 0
    if rotate:
        source = rotated(source)
    source.config.ternary = True
    write_model(source, output_dir)
    cost = None
    if source.tokenizer is not None and content is not None:
        cost = rounding_cost(output_dir, source.tokenizer, content)
    record = Ternarized(str(model), source.config.ternary_group_size, rotate, added, cost)
    record.write(output_dir / RECORD)
    return record


def _read_float(model: Path, group_size: int | None) -> Source:
    """Read a float LoopLM but no weights, with the group size that it will have."""
    content = read_config(model)
    found = content.get("model_type")
    if found != LoopLMConfig.model_type:
        raise ValueError(
            f"model must be the folder of a LoopLM, got model_type={found!r} in {str(model)!r}: nanochat-ternary "
            "convert makes a LoopLM of Llama, Mistral, Qwen and Ouro"
        )
    config = LoopLMConfig.from_dict(content)
    if config.ternary:
        raise ValueError(f"model must be a float LoopLM, got ternary=True in {str(model)!r}")
    if group_size is not None:
        config.ternary_group_size = group_size
    check_group_size(config)
    return read_tensors(model, LOOPLM, config)
