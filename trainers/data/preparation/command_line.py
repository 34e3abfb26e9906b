"""The subcommand `inspect`: show a prepared data set."""

import argparse
from pathlib import Path

from evaluation.options import add_command
from evaluation.tables import plain_console, print_table

console = plain_console()


def add_inspect(subcommands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """Add the subcommand `inspect`."""
    parser = add_command(
        subcommands,
        "inspect",
        inspect,
        help="show a prepared data set: rows by step and source, packed blocks, some rows",
        description="Shows the report of a prepared data set and checks the packed blocks against their manifests.",
    )
    _add_folder(parser)
    parser.add_argument("--output", type=Path, metavar="FILE.md", help="also write the tables to a Markdown file")
    parser.add_argument("--overwrite", action="store_true", help="replace this file")
    parser.add_argument("--rows", type=int, default=3, help="number of rows to print, chosen at random")
    parser.add_argument("--seed", type=int, default=0, help="seed of their choice")
    return parser


def inspect(options: argparse.Namespace) -> int:
    """Print the tables and some rows, and write the tables."""
    from evaluation.complete_files import check_new_file, complete_file
    from trainers.data.preparation.inspect_folder import block_table, inspection_page, sample_rows
    from trainers.data.preparation.report import Usage, benchmark_lines, find_corpus, read_report, report_tables

    if options.rows < 0:
        raise ValueError(f"rows must be at least 0, got {options.rows}")
    if options.output is not None:
        check_new_file(options.output, options.overwrite)
    corpus = find_corpus(options.folder)
    report = read_report(corpus)
    tables = [*report_tables(report, Usage.read(corpus)), block_table(options.folder)]
    if options.output is not None:
        with complete_file(options.output) as partial:
            partial.write_text(inspection_page(corpus, report, tables), encoding="utf-8")
    for table in tables:
        if table.row_count:
            print_table(console, table)
    for line in benchmark_lines(report):
        console.print(line, markup=False)
    for row in sample_rows(corpus, options.rows, options.seed):
        console.print(
            f"\n{row['source']} {row['path']} ({row['license']}, {row['level']}): {row['status']}", markup=False
        )
        console.print(row["code"], markup=False)
    return 0


def _add_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder", type=Path, metavar="DIR", help="folder of a prepared data set, or of the run that it belongs to"
    )
