"""The command `serve-judge`."""

import argparse
import os
from pathlib import Path

from evaluation.options import add_command
from evaluation.rust.sandbox.runner import OPT_IN
from evaluation.rust.service.address import TOKEN_VARIABLE
from evaluation.rust.verifier_options import add_verifier_options, verifier_of


def add_serve_judge(subcommands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command `serve-judge`."""
    parser = add_command(
        subcommands,
        "serve-judge",
        _run,
        help="judge Rust for other machines, over HTTP",
        description="Judge code for clients until Ctrl-C: POST /judge, POST /check-tests and GET /health. Equal\n"
        f"codes are compiled once. Runs generated programs in the sandbox, so it requires {OPT_IN}=1.\n"
        f"Clients must send the bearer token in the environment variable {TOKEN_VARIABLE}, if it is set.",
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help=f"name or address to listen on; one that other machines can reach needs a token in {TOKEN_VARIABLE}",
    )
    parser.add_argument("--port", type=int, default=8090, help="port to listen on; 0 is a free one")
    parser.add_argument(
        "--capacity",
        type=int,
        default=4096,
        help="maximum number of codes that wait or are judged, at least 1024; more get status 429",
    )
    # As in RustReward.
    add_verifier_options(parser, run_timeout=1.0)
    parser.add_argument("--crates", type=Path, help="folder of crate sources, for hole tests (default: none)")
    parser.add_argument(
        "--warm-dir",
        type=Path,
        help="folder that keeps the crates' compiled dependencies (default: a temporary one)",
    )


def _run(options: argparse.Namespace) -> int:
    from evaluation.models.llama_server import ServerSettings
    from evaluation.rust.judging import LocalJudge
    from evaluation.rust.service.serve import serve_judge

    settings = ServerSettings(options.host, options.port, os.environ.get(TOKEN_VARIABLE) or None)
    return serve_judge(
        lambda: LocalJudge(verifier_of(options), options.crates, options.warm_dir), settings, options.capacity
    )
