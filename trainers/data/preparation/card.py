"""A data card: the README.md of a prepared data set, generated from its report and its rows."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from huggingface_hub import DatasetCard, DatasetCardData

from evaluation.public_paths import public_command
from evaluation.tables import markdown_rows, markdown_table
from trainers.data.manifest import MANIFEST_FILE
from trainers.data.preparation.columns import NEGATIVES, ROWS, Column, column_rows, column_types, hub_features
from trainers.data.preparation.inputs import INPUTS
from trainers.data.preparation.report import (
    REPORT,
    Report,
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
from trainers.data.preparation.shards import read_json, read_rows, shard_paths

TEMPLATE = Path(__file__).parents[2] / "templates" / "data_card.md"
OTHER = "other"
# The Hub's names of SPDX licenses.
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


def data_card(
    folder: Path, name: str, command: str | None = None, description: str = "", repo: str | None = None
) -> DatasetCard:
    """
    Return the card of a prepared data set.

    Args:
        folder: Of the rows, with the report.
        name: Title of the card.
        command: Command that makes the data set; None for the one that was kept with it.
        description: A sentence below the title; "" for a general one.
        repo: Repository on the Hub, for the example in the card; None for the name of the folder.

    Raises:
        ValueError: The folder holds no finished preparation, or a file of it is damaged.
    """
    report = read_report(folder)
    inputs = read_json(folder / INPUTS)
    settings = inputs["settings"]
    licenses = report["by_license"]
    threshold = settings["near_duplicates"]
    rustc = (inputs["rustc"] or "").splitlines()
    crates = counts_table("Crates that were checked as a whole, by status", report["crates"])
    size = f"{report['rows']:,} rows, {report['bytes'] / 1e6:,.1f} MB"
    parts = _parts(folder, report)
    if not parts:
        raise ValueError(f"{folder} must hold rows to describe, got none")
    data = DatasetCardData(
        license=sorted({name for each in licenses for name in hub_licenses(each)}),
        language=["code", "en"],
        task_categories=["text-generation"],
        tags=["rust", "code", *(["compiler-verified"] if settings["verify"] else [])],
        pretty_name=name,
        size_categories=[next((words for most, words in SIZES if report["rows"] < most), "1M<n<10M")],
        configs=[
            {"config_name": part.name, "data_files": f"{part.name}/*.jsonl"}
            | ({"default": True} if not number else {})
            for number, part in enumerate(parts)
        ],
        dataset_info=[
            {
                "config_name": part.name,
                "features": hub_features(column_types(part.columns)),
                "splits": [{"name": "train", "num_examples": part.rows, "num_bytes": part.nbytes}],
            }
            for part in parts
        ],
    )
    return DatasetCard.from_template(
        data,
        template_path=str(TEMPLATE),
        name=name,
        description=description or f"Rust code from {len(report['read'])} sources: {size}.",
        version=version("nanochat-ternary"),
        repo=repo or folder.resolve().name,
        parts=parts,
        made_with=_versions(folder),
        command=public_command(command or read_command(folder)),
        composition=markdown_table(shares_table("By part of the mix", report["by_mix"])),
        by_source=markdown_table(shares_table("By source", report["by_source"])),
        by_level=markdown_table(shares_table("By difficulty", report["by_level"])),
        allowed=_allowed(settings["filter"]["licenses"]),
        near_duplicates=f" (Jaccard similarity of {threshold} or more)" if threshold else " (kept here)",
        decontaminate="" if settings["decontaminate"] else " (kept here)",
        verify=settings["verify"],
        rustc=rustc[0].removeprefix("rustc ") if rustc else "(none was installed)",
        steps=markdown_table(steps_table(report, Usage.read(folder))),
        reading=markdown_table(reading_table(report)),
        verification=markdown_table(verification_table(report)),
        crates=markdown_table(crates) if report["crates"] else "",
        decontamination="\n".join(f"- {line}" for line in benchmark_lines(report)),
        licenses=markdown_table(shares_table("Licenses", licenses, most=len(licenses))),
        attributions=_attributions(folder),
    )


def hub_licenses(expression: str) -> list[str]:
    """Return the Hub's names of the licenses that an SPDX expression lets one choose from; "other" without a name."""
    known = [HUB_LICENSES[each] for each in expression.split(" OR ") if each in HUB_LICENSES]
    return known or [OTHER]


@dataclass(frozen=True)
class Part:
    """
    A part of the data set that is loaded by its name.

    Attributes:
        name: Of the part and of its folder.
        meaning: Content, in words.
        columns: Columns of its rows.
        rows: Number of rows.
        nbytes: Size of the files.
    """

    name: str
    meaning: str
    columns: Mapping[str, Column]
    rows: int
    nbytes: int

    @property
    def size(self) -> str:
        """Size of the files in words."""
        return f"{self.nbytes / 1e6:,.2f} MB"

    @property
    def column_table(self) -> str:
        """Table of the columns in Markdown."""
        return markdown_rows(column_rows(self.columns))


def _parts(folder: Path, report: Report) -> list[Part]:
    """The parts of a data set that have rows."""
    parts = (
        ("rows", "code to train on", ROWS, report["rows"]),
        ("negatives", "code that the compiler rejects, with its messages", NEGATIVES, report["negatives"]),
    )
    return [
        Part(name, meaning, columns, rows, sum(path.stat().st_size for path in shard_paths(folder / name)))
        for name, meaning, columns, rows in parts
        if rows
    ]


def data_files(folder: Path) -> list[Path]:
    """Return the files of a prepared data set that its card names, relative to its folder: rows, and the report."""
    shards = (path for part in _parts(folder, read_report(folder)) for path in shard_paths(folder / part.name))
    return [*(path.relative_to(folder) for path in shards if path.stat().st_size), Path(REPORT)]


def _versions(folder: Path) -> str:
    """Versions that packed the rows, from the manifests beside them."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in sorted(folder.parent.glob(f"*/{MANIFEST_FILE}")):
        for name, number in read_json(path)["versions"].items():
            found[name].add(number)
    listed = ", ".join(f"{name} {' and '.join(sorted(numbers))}" for name, numbers in sorted(found.items()))
    return listed or "not recorded"


def _allowed(licenses: Sequence[str] | None) -> str:
    return "any" if licenses is None else ", ".join(licenses)


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
