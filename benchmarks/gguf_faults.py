"""
Measure how far outside its tolerances `verify_gguf` finds files that are broken on purpose.

    python benchmarks/gguf_faults.py --report docs/gguf_faults.md

Trains a small model on built-in Rust for a few seconds, exports it, breaks the file in one way at a time (each is a
mistake that an exporter can make) and compares it with the model in stock llama.cpp. The tests break files with the
same functions.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from reporting import add_output, add_report, new_parser

if __name__ == "__main__":
    # `--help` needs no PyTorch.
    parser = new_parser(__doc__)
    parser.add_argument("--steps", type=int, default=40, help="number of training steps")
    add_output(parser, "results/gguf_faults.json")
    add_report(parser, "docs/gguf_faults.md")
    options = parser.parse_args()

import torch

# The functions that break files are the tests'; a script sees only its own folder.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from model_cards.checkpoint import LoopLMCheckpoint
from model_cards.gguf.export import export_gguf
from model_cards.gguf.verify import Agreement, verify_gguf
from tests.helpers.gguf_faults import FAULTS, TYPES, patched, trained_model


def row(title: str, agreement: Agreement) -> str:
    """Return a row of the table."""
    return (
        f"| {title} | `{agreement.type}` | {agreement.max_difference:.2g} | {agreement.kl:.1g} "
        f"| {agreement.top1:.0%} | {agreement.texts - len(agreement.wrong_texts)} of {agreement.texts} | "
        f"{'refused' if agreement.problems else 'accepted'} |"
    )


def main(options: argparse.Namespace) -> None:
    """Train a model, break its files, compare them and write the results."""
    torch.set_num_threads(1)
    model, tokenizer = trained_model(options.steps)
    found: list[tuple[str, Agreement]] = []
    with tempfile.TemporaryDirectory() as folder:
        files = {
            type: export_gguf(LoopLMCheckpoint.from_model(model), tokenizer, Path(folder) / f"{type}.gguf", type=type)
            for type in TYPES
        }
        found += [("none", verify_gguf(file.path, model, tokenizer)) for file in files.values()]
        for fault in FAULTS:
            for type in fault.types:
                path = patched(files[type], Path(folder) / "broken.gguf", fault.changes(files[type]))
                found.append((fault.title, verify_gguf(path, model, tokenizer)))
    lines = [
        "| fault | type | largest difference, nats | KL, nats | same most likely token | equal ids | result |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *(row(title, agreement) for title, agreement in found),
    ]
    print("\n".join(lines))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    summary = [
        {
            "fault": title,
            "type": each.type,
            "max_difference": each.max_difference,
            "kl": each.kl,
            "top1": each.top1,
            "wrong_texts": each.wrong_texts,
            "problems": each.problems,
        }
        for title, each in found
    ]
    options.output.write_text(json.dumps(summary, indent=2) + "\n")
    if options.report:
        options.report.write_text(f"""# What a broken GGUF file looks like

Written by

```bash
python benchmarks/gguf_faults.py --steps {options.steps} --report docs/{options.report.name}
```

A small model is trained for {options.steps} steps on one file of built-in Rust and exported. The files are then
broken in ways that exporters can err, and compared with the model by `verify_gguf`
([gguf.md](gguf.md) describes the comparison). `f32` files are compared with the model without
rounding of activations. A file with another number of loops computes what the model computes with
that number; it is refused because of the number.

{chr(10).join(lines)}
""")


if __name__ == "__main__":
    main(options)
