"""Writing of a converted or looped model: a folder that gets its name when it is complete."""

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
from transformers.dynamic_module_utils import custom_object_save

from evaluation.progress import Advance, show_progress
from modeling_nanochat import LoopLMForCausalLM
from trainers.conversion.checkpoint import INDEX_FILE
from trainers.conversion.source import Entry, Source


def check_output(source: Source, output_dir: Path) -> None:
    """Raise `ValueError` if `output_dir` exists, or the disk lacks the space for the model."""
    if output_dir.exists():
        raise ValueError(f"output_dir must not exist yet, got {str(output_dir)!r}")
    parent = next(folder for folder in output_dir.absolute().parents if folder.exists())
    free = shutil.disk_usage(parent).free
    if free < source.size:
        raise ValueError(f"output_dir needs {source.size:,} bytes of disk; {str(parent)!r} has {free:,} left")


def write_model(source: Source, output_dir: Path, record: tuple[str, Mapping[str, object]] | None = None) -> None:
    """
    Write the LoopLM folder. An interrupted call leaves nothing behind.

    Args:
        source: The model.
        output_dir: Folder to write.
        record: Name and content of a JSON file to write as well.

    Raises:
        ValueError: `output_dir` exists, or the disk lacks the space.
    """
    check_output(source, output_dir)
    output_dir.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{output_dir.name}.", dir=output_dir.parent) as temporary:
        folder = Path(temporary, "model")
        folder.mkdir()
        _write_weights(source, folder)
        for path in source.copied:
            shutil.copyfile(path, folder / path.name)
        if source.tokenizer is not None and source.saves_tokenizer:
            source.tokenizer.save_pretrained(folder)
        with torch.device("meta"):
            model = LoopLMForCausalLM(source.config)
        model.config.architectures = [type(model).__name__]
        custom_object_save(model, folder, config=model.config)
        model.config.save_pretrained(folder)
        if record is not None:
            name, content = record
            (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        folder.rename(output_dir)


def _write_weights(source: Source, folder: Path) -> None:
    count = len(source.files)
    names = ["model.safetensors"]
    if count > 1:
        names = [f"model-{index + 1:05}-of-{count:05}.safetensors" for index in range(count)]
    with show_progress("Writing", source.size, "B") as advance:
        for entries, name in zip(source.files, names, strict=True):
            _write_file(entries, folder / name, advance)
    if count > 1:
        pairs = [(entry.name, name) for entries, name in zip(source.files, names, strict=True) for entry in entries]
        index = {"metadata": {"total_size": source.size}, "weight_map": dict(sorted(pairs))}
        (folder / INDEX_FILE).write_text(json.dumps(index, indent=2) + "\n")


def _write_file(entries: list[Entry], path: Path, advance: Advance) -> None:
    """Write a safetensors file: the header's length (8 bytes, little-endian), the header in JSON, then all bytes."""
    # transformers requires the format.
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for entry in entries:
        offsets = [end, end + entry.nbytes]
        header[entry.name] = {"dtype": entry.dtype, "shape": list(entry.shape), "data_offsets": offsets}
        end += entry.nbytes
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)
    with path.open("wb") as writer:
        writer.write(len(encoded).to_bytes(8, "little") + encoded)
        for entry in entries:
            written = 0
            for part in entry.chunks():
                writer.write(part)
                advance(len(part))
                written += len(part)
            assert written == entry.nbytes, f"{entry.name} has {written} bytes, its header says {entry.nbytes}"
