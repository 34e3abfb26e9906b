"""
Measure the embedding and the head of a GGUF file as floats and in 8 bits, in stock llama.cpp.

    NANOCHAT_DATA=data python benchmarks/gguf_head.py --report docs/gguf_head.md

A ternary model reads its head, or its tied embedding, once for every token, and its blocks once for every loop. The
variants of a file differ in nothing else. Their divergence from the model is measured as `gguf --verify` does it, and
their speed in one process with one thread, in rounds in which the variants take turns.
"""

import os
import shlex
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path

from reporting import Columns, add_output, add_report, new_parser, write_json

if __name__ == "__main__":
    # `--help` needs no PyTorch.
    parser = new_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds; medians are reported")
    parser.add_argument("--new-tokens", type=int, default=48, help="tokens per round")
    parser.add_argument("--tiny", action="store_true", help="a small random model only, to test this script")
    add_output(parser, "results/benchmarks/gguf_head.json")
    add_report(parser, "docs/gguf_head.md")
    options = parser.parse_args()

import torch
from rich.console import Console
from transformers import PreTrainedTokenizerFast

# A script sees only its own folder.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from model_cards.checkpoint import LoopLMCheckpoint, read_tokenizer
from model_cards.gguf.export import export_gguf
from model_cards.gguf.folder import load_float32
from model_cards.gguf.verify import LlamaCpp, verify_gguf
from modeling_nanochat import LoopLMConfig, LoopLMForCausalLM
from trainers.data.tokenizer import train_tokenizer

TYPE, VARIANTS = "tq2_0", ("f16", "q8_0")
TRAINED = "nano_h100"
LARGE = dict(vocab_size=50304, hidden_size=1024, intermediate_size=2816, num_shared_layers=8, num_attention_heads=16)
TINY = dict(vocab_size=512, hidden_size=256, intermediate_size=512, num_shared_layers=1, num_attention_heads=4)


@dataclass(frozen=True)
class Row:
    """
    A file, and what was measured with it.

    Attributes:
        model: Name of the model.
        embedding: Type of the embedding and the head.
        megabytes: Size of the file.
        read_megabytes: Bytes that one token reads: the blocks in every loop, and the head.
        kl, rounding_kl: See `Agreement`.
        same: Share of positions with the same most likely token.
        milliseconds: CPU time per decoded token, median over the rounds.
    """

    model: str
    embedding: str
    megabytes: float
    read_megabytes: float
    kl: float
    rounding_kl: float
    same: float
    milliseconds: float


def random_model(sizes: dict[str, int]) -> tuple[LoopLMForCausalLM, PreTrainedTokenizerFast]:
    """Return a random model of 4 loops, and a tokenizer that fits it."""
    torch.manual_seed(0)
    more = {"num_loops": 4, "ternary_group_size": 256, "mhc_num_streams": 1, "tie_word_embeddings": True}
    config = LoopLMConfig.from_dict(sizes | more)
    texts = [path.read_text() for path in sorted(Path(str(files("trainers.data") / "builtin_rust")).glob("*.rs"))]
    return LoopLMForCausalLM(config).eval(), train_tokenizer(texts, 400, 256)


def measure(
    name: str, model: LoopLMForCausalLM, tokenizer: PreTrainedTokenizerFast, rounds: int, tokens: int
) -> list[Row]:
    """Export a model in each variant, and compare and time the files in turn."""
    checkpoint = LoopLMCheckpoint.from_model(model)
    with tempfile.TemporaryDirectory() as folder:
        exported = {
            each: export_gguf(checkpoint, tokenizer, Path(folder) / f"{each}.gguf", type=TYPE, embedding_type=each)
            for each in VARIANTS
        }
        agreements = {each: verify_gguf(file.path, model, tokenizer) for each, file in exported.items()}
        seconds: dict[str, list[float]] = {each: [] for each in VARIANTS}
        for _ in range(rounds):
            for each, file in exported.items():
                seconds[each].append(seconds_per_token(file.path, tokenizer, tokens))
    rows = []
    for each, file in exported.items():
        blocks = sum(tensor.nbytes for key, tensor in file.tensors.items() if key.startswith("blk."))
        read = model.config.num_loops * blocks + file.tensors["token_embd.weight"].nbytes
        found = agreements[each]
        milliseconds = 1e3 * statistics.median(seconds[each])
        rows.append(
            Row(name, each, file.nbytes / 1e6, read / 1e6, found.kl, found.rounding_kl, found.top1, milliseconds)
        )
    return rows


def seconds_per_token(path: Path, tokenizer: PreTrainedTokenizerFast, tokens: int) -> float:
    """Return the CPU time of a token in decoding, after a short prompt that is not counted."""
    ids = tokenizer("fn main() {\n")["input_ids"]
    with LlamaCpp(path, context=len(ids) + tokens + 1, precise=False) as engine:
        engine.complete(ids, 1)
        begun = time.process_time()
        engine.complete(ids, tokens)
        return (time.process_time() - begun) / tokens


def columns(rows: list[Row]) -> Columns:
    """Return the table."""
    titles = (
        *("model", "embedding and head", "file, MB", "read per token, MB", "KL, nats", "of the rounding alone"),
        *("same most likely token", "CPU ms per token", "tokens/s of CPU time"),
    )
    cells = [
        [
            row.model,
            row.embedding,
            f"{row.megabytes:.1f}",
            f"{row.read_megabytes:.1f}",
            f"{row.kl:.2e}",
            f"{row.rounding_kl:.2e}",
            f"{row.same:.1%}",
            f"{row.milliseconds:.2f}",
            f"{1e3 / row.milliseconds:.1f}",
        ]
        for row in rows
    ]
    return Columns(titles, 2, cells)


def page(rows: list[Row], rounds: int) -> str:
    """Return the Markdown page."""
    return f"""# Embedding and head of a GGUF file in 8 bits

Written by

```bash
{shlex.join(["python", *sys.argv])}
```

Matrices in `{TYPE}`, tied embeddings, 4 loops. The KL divergence is that of `gguf --verify` from the model
in PyTorch; beside it stands the divergence that the model's own rounding of activations makes. Times
are CPU times of one thread in llama.cpp, medians over {rounds} rounds in which the files took turns; the
machine was shared with other programs. The second model is random, so that only its sizes and times
say something.

{columns(rows).markdown()}
"""


def main(output: Path, report: Path | None, rounds: int, new_tokens: int, tiny: bool) -> None:
    """Measure all models, print the table and write the results."""
    torch.set_num_threads(1)
    rows: list[Row] = []
    if tiny:
        rows += measure("random", *random_model(TINY), rounds, new_tokens)
    else:
        folder = Path(os.environ.get("NANOCHAT_DATA", "data")) / TRAINED
        if not folder.is_dir():
            raise ValueError(f"NANOCHAT_DATA must name a folder with the model {TRAINED}, got {folder}")
        rows += measure(TRAINED, load_float32(folder), read_tokenizer(folder), rounds, new_tokens)
        rows += measure("random, 154 M parameters", *random_model(LARGE), rounds, new_tokens)
    Console().print(columns(rows).rich("Embedding and head"))
    write_json(output, [asdict(row) for row in rows])
    if report is not None:
        report.write_text(page(rows, rounds))
        print(f"Written to {report}")


if __name__ == "__main__":
    try:
        main(**vars(options))
    except ValueError as error:
        sys.exit(str(error))
