"""
`python -m trainers.data`: download crates (`fetch`), list kinds of sources (`sources`), show a prepared data set
(`inspect`), generate Rust (`synth`), rewrite it (`augment`), make tasks from crates (`holes`), check files of
tasks (`check-tasks`), and compare files of code (`report`).
"""

import sys

from evaluation.exit_status import exit_status
from evaluation.options import command_parser
from trainers.data import command_line, sources_command
from trainers.data.preparation import command_line as prepared
from trainers.data.tasks.command_line import add_check_tasks, add_holes

ADDED = (
    sources_command.add_fetch,
    sources_command.add_sources,
    prepared.add_inspect,
    command_line.add_synth,
    command_line.add_augment,
    add_holes,
    add_check_tasks,
    command_line.add_report,
)
RESUMABLE = ("fetch", "synth", "augment", "holes")


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand and return its exit status."""
    parser = command_parser(prog="python -m trainers.data", description=__doc__)
    subcommands = parser.add_subparsers(dest="command", required=True)
    for add in ADDED:
        add(subcommands)
    options = parser.parse_args(arguments)
    resumes = options.command in RESUMABLE
    interrupted = "Interrupted; run the same command to continue." if resumes else "Interrupted."
    return exit_status(f"{parser.prog} {options.command}", lambda: options.run(options), interrupted)


if __name__ == "__main__":
    sys.exit(main())
