"""
Measure memory and time of an export to GGUF, for a random checkpoint of 1.4 billion parameters.

    python benchmarks/export_memory.py --report docs/export_memory.md

Writes a checkpoint in bf16 as `save_pretrained` would, with a shard for every block, exports it in a process of its
own with `nanochat-ternary gguf`, and reports the peak of that process's resident memory. The exit status is 1 if
it is above `--limit`. Needs about 4 GB of disk in `--folder`, which are freed at the end.
"""

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from reporting import add_output, add_report, new_parser

from model_cards.gguf.blocks import FORMATS

if __name__ == "__main__":
    # `--help` needs no PyTorch.
    parser = new_parser(__doc__)
    parser.add_argument(
        "--types", nargs="+", choices=FORMATS, default=["tq2_0"], help="types to export, one after another"
    )
    parser.add_argument("--hidden-size", type=int, default=2048, help="hidden size of the model")
    parser.add_argument("--intermediate-size", type=int, default=5632, help="intermediate size of the model")
    parser.add_argument("--layers", type=int, default=24, help="number of shared blocks of the model")
    parser.add_argument("--vocab-size", type=int, default=50304, help="vocabulary size of the model")
    parser.add_argument("--group-size", type=int, default=256, help="ternary weights per scale")
    parser.add_argument("--tied", action="store_true", help="tie the head to the embedding")
    parser.add_argument("--limit", type=float, default=6.0, help="GiB of memory above which the exit status is 1")
    parser.add_argument("--folder", type=Path, help="folder for temporary files (default: the system's)")
    add_output(parser, "results/export_memory.json")
    add_report(parser, "docs/export_memory.md")
    options = parser.parse_args()

import psutil
import torch
from rich.progress import track
from safetensors.torch import save_file

from model_cards.checkpoint import INDEX
from modeling_nanochat import LoopLMConfig, LoopLMForCausalLM
from trainers.data.tokenizer import train_tokenizer

ROOT = Path(__file__).resolve().parent.parent
BUILTIN_RUST = ROOT / "trainers" / "data" / "builtin_rust"
GIB = 2**30


@dataclass(frozen=True)
class Export:
    """
    One export.

    Attributes:
        type: Type of the matrices.
        seconds: Wall time, including the check of every weight.
        peak_bytes: Peak resident memory, including the parts of the checkpoint that are mapped.
        file_bytes: Size of the file.
    """

    type: str
    seconds: float
    peak_bytes: int
    file_bytes: int


def write_checkpoint(config: LoopLMConfig, folder: Path) -> int:
    """Write a random checkpoint with one shard in memory at a time; return its number of parameters."""
    with torch.device("meta"):
        model = LoopLMForCausalLM(config)
    shapes = {name: parameter.shape for name, parameter in model.named_parameters()}
    shards: dict[str, list[str]] = {}
    for name in shapes:
        block = name.split(".layers.")[1].split(".")[0] if ".layers." in name else "rest"
        shards.setdefault(f"model-{block}.safetensors", []).append(name)
    torch.manual_seed(0)
    for file, names in track(shards.items(), "writing the checkpoint", transient=True):
        tensors = {name: torch.randn(shapes[name]).mul_(config.initializer_range).bfloat16() for name in names}
        save_file(tensors, folder / file, metadata={"format": "pt"})
    weight_map = {name: file for file, names in shards.items() for name in names}
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    config.save_pretrained(folder)
    texts = [path.read_text() for path in sorted(BUILTIN_RUST.glob("*.rs"))]
    train_tokenizer(texts, 4096, config.max_position_embeddings).save_pretrained(folder)
    return sum(shape.numel() for shape in shapes.values())


def export(checkpoint: Path, type: str, out: Path) -> Export:
    """Export in a process of its own, whose peak memory the system records."""
    command = [sys.executable, "-m", "model_cards", "gguf", "--model", str(checkpoint)]
    command += ["--output", str(out), "--type", type]
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed with exit status {process.returncode}")
    # In KiB on Linux, in bytes on macOS (getrusage's own pages).
    peak = usage.ru_maxrss * (1 if psutil.MACOS else 1024)
    found = Export(type, time.perf_counter() - started, peak, out.stat().st_size)
    out.unlink()
    return found


def table(exports: list[Export]) -> str:
    """Return a table in Markdown."""
    rows = [
        f"| `{each.type}` | {each.file_bytes / 1e6:.0f} | {each.peak_bytes / GIB:.2f} | {each.seconds:.0f} |"
        for each in exports
    ]
    return "\n".join(["| type | file, MB | peak memory, GiB | seconds |", "| --- | --- | --- | --- |", *rows])


def main(options: argparse.Namespace) -> int:
    """Measure, print and write the results; return the exit status."""
    config = LoopLMConfig(
        vocab_size=options.vocab_size,
        hidden_size=options.hidden_size,
        intermediate_size=options.intermediate_size,
        num_shared_layers=options.layers,
        num_attention_heads=options.hidden_size // 128,
        ternary_group_size=options.group_size,
        tie_word_embeddings=options.tied,
    )
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        checkpoint = Path(folder) / "model"
        checkpoint.mkdir()
        # In a process of its own: the peak of a process begins with that of the one that started it.
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            parameters = pool.submit(write_checkpoint, config, checkpoint).result()
        exports = [export(checkpoint, type, Path(folder) / "model.gguf") for type in options.types]
    description = (
        f"A random checkpoint of {parameters / 1e9:.2f} billion parameters ({options.layers} blocks of width "
        f"{options.hidden_size}, {options.vocab_size} tokens) in bf16"
    )
    print(f"{description}:\n\n{table(exports)}")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    summary = {"parameters": parameters, "exports": [asdict(each) for each in exports]}
    options.output.write_text(json.dumps(summary, indent=2) + "\n")
    if options.report:
        options.report.write_text(f"""# Memory of an export

Written by

```bash
python benchmarks/export_memory.py --types {" ".join(options.types)} --report docs/{options.report.name}
```

{description},
exported by `nanochat-ternary gguf`. Peak memory is the resident memory of that process, with
the parts of the checkpoint that it maps. The seconds include reading the file back and comparing
every weight, on a machine shared with other programs.

{table(exports)}
""")
    above = [each.type for each in exports if each.peak_bytes > options.limit * GIB]
    if above:
        print(f"Above the limit of {options.limit} GiB: {', '.join(above)}", file=sys.stderr)
    return 1 if above else 0


if __name__ == "__main__":
    sys.exit(main())
