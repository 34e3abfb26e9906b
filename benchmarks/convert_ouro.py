"""
Measure memory and time of converting an Ouro checkpoint of the published size, with random weights in bf16.

    python benchmarks/convert_ouro.py

The checkpoint is written a few layers at a time to a temporary folder, which needs twice its size of disk (1.4B: 5.8
GB) and is deleted afterwards. The conversion runs in a process of its own, whose memory is read fifty times a second.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from reporting import add_output, new_parser, write_json

if __name__ == "__main__":
    # `--help` needs no PyTorch.
    parser = new_parser(__doc__)
    parser.add_argument("--layers", type=int, default=24, help="number of layers: 24 for Ouro-1.4B, 48 for Ouro-2.6B")
    parser.add_argument(
        "--layers-per-shard", type=int, default=6, help="layers in a file; with the number of layers there is one file"
    )
    add_output(parser, "results/convert_ouro.json")
    options = parser.parse_args()

import psutil
import torch
from rich.console import Console
from safetensors.torch import save_file
from tqdm import tqdm

console = Console(highlight=False)
SHAPE = dict(
    model_type="ouro",
    vocab_size=49152,
    hidden_size=2048,
    intermediate_size=5632,
    num_attention_heads=16,
    num_key_value_heads=16,
    max_position_embeddings=65536,
    rms_norm_eps=1e-6,
    rope_theta=1e6,
    total_ut_steps=4,
    tie_word_embeddings=False,
    torch_dtype="bfloat16",
)


def layer_tensors(layer: int) -> dict[str, torch.Tensor]:
    """Random weights of one layer."""
    width, inner = SHAPE["hidden_size"], SHAPE["intermediate_size"]
    shapes = {f"self_attn.{name}_proj": (width, width) for name in "qkvo"}
    shapes |= {"mlp.gate_proj": (inner, width), "mlp.up_proj": (inner, width), "mlp.down_proj": (width, inner)}
    shapes |= {
        f"{name}{end}": (width,) for name in ("input_layernorm", "post_attention_layernorm") for end in ("", "_2")
    }
    return {
        f"model.layers.{layer}.{name}.weight": torch.randn(shape, dtype=torch.bfloat16) * 0.02
        for name, shape in shapes.items()
    }


def write_checkpoint(folder: Path, layers: int, layers_per_shard: int) -> int:
    """Write a checkpoint a few layers at a time; return its size in bytes."""
    folder.mkdir()
    width, vocabulary = SHAPE["hidden_size"], SHAPE["vocab_size"]
    starts = range(0, layers, layers_per_shard)
    weight_map: dict[str, str] = {}
    for index, start in enumerate(tqdm(starts, desc="Writing the checkpoint")):
        tensors: dict[str, torch.Tensor] = {}
        for layer in range(start, min(start + layers_per_shard, layers)):
            tensors |= layer_tensors(layer)
        if index == 0:
            tensors |= {
                f"{name}.weight": torch.randn(vocabulary, width, dtype=torch.bfloat16) * 0.02
                for name in ("model.embed_tokens", "lm_head")
            }
            tensors |= {
                "model.norm.weight": torch.ones(width, dtype=torch.bfloat16),
                "model.early_exit_gate.weight": torch.zeros(1, width, dtype=torch.bfloat16),
                "model.early_exit_gate.bias": torch.zeros(1, dtype=torch.bfloat16),
            }
        name = "model.safetensors" if len(starts) == 1 else f"model-{index + 1:05}-of-{len(starts):05}.safetensors"
        save_file(tensors, folder / name)
        weight_map |= dict.fromkeys(tensors, name)
    if len(starts) > 1:
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    (folder / "config.json").write_text(json.dumps(SHAPE | {"num_hidden_layers": layers}))
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))


def main(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as name:
        size = write_checkpoint(Path(name, "ouro"), options.layers, options.layers_per_shard)
        command = [sys.executable, "-m", "nanochat_ternary", "convert"]
        command += ["--model", str(Path(name, "ouro")), "--output-dir", str(Path(name, "converted"))]
        started, peak = time.perf_counter(), 0
        process = subprocess.Popen(command)
        while process.poll() is None:
            try:
                peak = max(peak, psutil.Process(process.pid).memory_info().rss)
            except psutil.NoSuchProcess:
                break
            time.sleep(0.02)
        if process.wait() != 0:
            raise SystemExit("the conversion failed")
        seconds = time.perf_counter() - started
    figures = {"layers": options.layers, "checkpoint_bytes": size, "seconds": seconds, "peak_resident_bytes": peak}
    speed = size / 1e6 / seconds
    console.print(f"{size / 1e9:.2f} GB in {seconds:.1f} s ({speed:.0f} MB/s), at most {peak / 1e9:.2f} GB of memory")
    write_json(options.output, figures)


if __name__ == "__main__":
    main(options)
