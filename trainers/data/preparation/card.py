"""A data card: the README.md of a prepared data set, generated from its report and its rows."""

import json
from collections import defaultdict
from importlib.metadata import version
from pathlib import Path

from huggingface_hub import DatasetCard, DatasetCardData

from evaluation.tables import markdown_table
from trainers.data.preparation.inputs import INPUTS
from trainers.data.preparation.report import (
    Usage,
    benchmark_lines,
    counts_table,
    read_command,
    read_report,
    reading_table,
    shares_table,
    steps_table,
    verification_table,
)
from trainers.data.preparation.shards import read_rows, shard_paths

TEMPLATE = Path(__file__).parents[2] / "templates" / "data_card.md"
OTHER = "other"
# Licenses that the Hub knows by another name than SPDX, or as one of several.
HUB_LICENSES = {
    "MIT": "mit",
    "Apache-2.0": "apache-2.0",
    "BSD-2-Clause": "bsd-2-clause",
    "BSD-3-Clause": "bsd-3-clause",
    "ISC": "isc",
    "MPL-2.0": "mpl-2.0",
    "Unlicense": "unlicense",
    "Zlib": "zlib",
    "CC0-1.0": "cc0-1.0",
}
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def data_card(folder: Path, name: str, command: str | None = None, description: str = "") -> DatasetCard:
    """
    Return the card of a prepared data set.

    Args:
        folder: Of the rows, with the report.
        name: Title of the card.
        command: Command that makes the data set; None for the one that was kept with it.
        description: A sentence below the title; "" for a general one.

    Raises:
        ValueError: The folder holds no finished preparation.
    """
    report = read_report(folder)
    inputs = json.loads((folder / INPUTS).read_text(encoding="utf-8"))
    settings = inputs["settings"]
    licenses = report["by_license"]
    threshold = settings["near_duplicates"]
    rustc = (inputs["rustc"] or "").splitlines()
    crates = counts_table("Crates that were checked as a whole, by status", report["crates"])
    size = f"{report['rows']:,} rows, {report['bytes'] / 1e6:,.1f} MB"
    data = DatasetCardData(
        license=sorted({HUB_LICENSES.get(each, OTHER) for each in licenses}),
        language=["code"],
        task_categories=["text-generation"],
        tags=["rust", "code", "compiler-verified"],
        pretty_name=name,
        size_categories=[next((words for most, words in SIZES if report["rows"] < most), "1M<n<10M")],
        configs=[
            {"config_name": "rows", "data_files": "rows/*.jsonl", "default": True},
            {"config_name": "negatives", "data_files": "negatives/*.jsonl"},
        ],
    )
    return DatasetCard.from_template(
        data,
        template_path=str(TEMPLATE),
        name=name,
        description=description or f"Rust code from {len(report['read'])} sources: {size}.",
        version=version("nanochat-ternary"),
        command=command or read_command(folder),
        composition=markdown_table(shares_table("By part of the mix", report["by_mix"])),
        by_source=markdown_table(shares_table("By source", report["by_source"])),
        by_level=markdown_table(shares_table("By difficulty", report["by_level"])),
        near_duplicates=f" (Jaccard similarity of {threshold} or more)" if threshold else " (kept here)",
        rustc=rustc[0].removeprefix("rustc ") if rustc else "(none was installed)",
        steps=markdown_table(steps_table(report, Usage.read(folder))),
        reading=markdown_table(reading_table(report)),
        verification=markdown_table(verification_table(report)),
        crates=markdown_table(crates) if report["crates"] else "",
        decontamination="\n".join(f"- {line}" for line in benchmark_lines(report)),
        licenses=markdown_table(shares_table("Licenses", licenses, most=len(licenses))),
        attributions=_attributions(folder),
    )


def _attributions(folder: Path) -> str:
    """Return a list of all origins with their licenses."""
    origins: dict[str, set[str]] = defaultdict(set)
    files: dict[str, int] = defaultdict(int)
    for row in (row for shard in shard_paths(folder / "rows") for row in read_rows(shard)):
        origin = row["crate"] or row["source"]
        origins[origin].add(row["license"])
        files[origin] += 1
    lines = (
        f"- {origin}: {', '.join(sorted(origins[origin]))} ({files[origin]:,} rows)" for origin in sorted(origins)
    )
    return "\n".join(lines)
