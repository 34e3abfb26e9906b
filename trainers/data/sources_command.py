"""Subcommands `fetch` and `sources`: download crates with their dependencies, and list the kinds of sources."""

import argparse

from rich.markup import escape
from rich.table import Table

from evaluation.options import add_command, add_output_dir
from evaluation.progress import show_progress
from evaluation.tables import plain_console, print_table
from trainers.data.sources.fetch import DEFAULT_CRATES, Package, fetch_apt, fetch_cargo, plan_apt, plan_cargo

console = plain_console()


def add_fetch(subcommands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """Add the subcommand `fetch`."""
    parser = add_command(
        subcommands,
        "fetch",
        fetch,
        help="download the sources of crates with their dependencies",
        description="Downloads the sources of crates and of all that they depend on: as Debian packages with apt-get, "
        "which needs no root, or from crates.io with `cargo vendor`. Nothing is built. The folder is then a "
        "source of training data: --source crates=DIR. If the command is interrupted, run it again to continue.",
    )
    parser.add_argument(
        "--crates", nargs="+", default=list(DEFAULT_CRATES), metavar="NAME", help="names of the crates"
    )
    add_output_dir(parser, "folder for the crates")
    parser.add_argument(
        "--with", dest="tool", choices=("apt", "cargo"), default="apt", help="apt for Debian's packages, or cargo"
    )
    parser.add_argument("--dry-run", action="store_true", help="print what would be downloaded, and download nothing")
    return parser


def fetch(options: argparse.Namespace) -> int:
    """Download crates, and print which and how many."""
    if options.output_dir.exists() and not options.output_dir.is_dir():
        raise ValueError(f"output_dir must be a folder, got {options.output_dir}, which is a file")
    plan = plan_apt if options.tool == "apt" else plan_cargo
    packages = plan(options.crates, options.output_dir)
    missing = [package for package in packages if not package.is_there]
    console.print(f"{len(packages)} packages, {len(packages) - len(missing)} of them there; {size_in_words(missing)}")
    if options.dry_run:
        for package in missing:
            console.print(f"  {package.name}", markup=False)
        return 0
    with show_progress("Fetching", len(missing), "packages") as advance:
        if options.tool == "apt":
            fetch_apt(packages, options.output_dir, advance)
        elif missing:
            fetch_cargo(options.crates, options.output_dir, advance)
    console.print(f"The crates are in {options.output_dir}", markup=False)
    return 0


def add_sources(subcommands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """Add the subcommand `sources`."""
    return add_command(
        subcommands,
        "sources",
        list_sources,
        help="list the kinds of sources that --source takes",
        description="Lists the kinds of sources of training data, with the form that --source takes: KIND=PLACE, and "
        "options behind commas, such as --source table=rows.jsonl.gz,code=text,default_license=MIT.",
    )


def list_sources(options: argparse.Namespace) -> int:
    """Print a table of the kinds of sources."""
    from trainers.data.sources.registry import SOURCES

    table = Table("--source", "reads", "options")
    for name, kind in SOURCES.items():
        place = "" if kind.place is None else f"={kind.place}" if kind.place_required else f"[={kind.place}]"
        table.add_row(escape(name + place), kind.help, ", ".join(kind.options))
    print_table(console, table, prose={"reads", "options"})
    return 0


def size_in_words(packages: list[Package]) -> str:
    """Return how many packages are to be downloaded and how many megabytes, as far as it is known."""
    sizes = [package.size for package in packages if package.size is not None]
    size = f"{sum(sizes) / 1e6:.1f} MB" if len(sizes) == len(packages) else "their size is known after the download"
    return f"{len(packages)} to download, {size}"
