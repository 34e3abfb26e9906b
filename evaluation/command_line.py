"""The options of `python -m evaluation run` and `compare`."""

import argparse
from pathlib import Path

from evaluation.rust.rustc.toolchain import EDITIONS

SUITES = ("humaneval-rust", "multipl-e-rust", "compile-rate", "perplexity", "performance")


def add_run(subcommands):
    """Adds the subcommand `run`."""
    parser = subcommands.add_parser(
        "run",
        help="run a benchmark on a model",
        description="Samples completions, runs them in the sandbox, and writes results, samples and verdicts as "
        "files. A run that was killed continues when it is started again. humaneval-rust and multipl-e-rust run "
        "programs that the model wrote, and need HF_ALLOW_CODE_EVAL=1.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--model", required=True, help="folder of a saved model, or its name on the Hub")
    parser.add_argument(
        "--suite",
        default="all",
        choices=(*SUITES, "all"),
        help="which benchmark; all skips those whose problems or texts are missing, and says what they need",
    )
    parser.add_argument("--out", type=Path, default=Path("results"), help="folder for the files")
    parser.add_argument("--k", type=int, nargs="+", default=[1], help="numbers of samples to estimate pass@k for")
    parser.add_argument("--n", type=int, default=1, help="samples per problem; at least the largest k")
    parser.add_argument(
        "--limit", type=int, help="only the first N problems, or texts, of a benchmark; None takes all"
    )
    parser.add_argument(
        "--problems", type=Path, help="file with HumanEval-Rust's rows; None takes NANOCHAT_DATA or the Hub"
    )
    parser.add_argument(
        "--multipl-e", type=Path, help="file with MultiPL-E's rows; None takes NANOCHAT_DATA or the Hub"
    )
    parser.add_argument(
        "--skip-bad-rows",
        action="store_true",
        help="leave out rows of --problems and --multipl-e that hold no sound problem, and list them",
    )
    parser.add_argument(
        "--chat",
        action="store_true",
        help="for an instruction-tuned model: ask in its chat template, and take the program out of the answer",
    )
    parser.add_argument(
        "--chat-template", type=Path, help="file with a template in Jinja, for --chat; None takes the model's"
    )
    parser.add_argument(
        "--instruction",
        help="for --chat, with {prompt} where the problem goes; None takes the one of docs/evaluation.md",
    )
    parser.add_argument(
        "--text", type=Path, help="for the perplexity: folder of .rs files, one file, or JSON lines with a column code"
    )
    parser.add_argument("--window", type=int, default=512, help="tokens the perplexity looks at together")
    parser.add_argument(
        "--batch-sizes", type=int, nargs="+", default=[1, 8], help="sequences at a time, for the performance"
    )
    parser.add_argument("--prompt-tokens", type=int, default=128, help="of a sequence, for the performance")
    parser.add_argument("--new-tokens", type=int, default=32, help="written to a sequence, for the performance")
    parser.add_argument(
        "--exit-thresholds",
        type=float,
        nargs="*",
        help="of a LoopLM, for the performance; None takes --exit-threshold, else 0.5, 0.8 and 0.95",
    )
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each setting, for the performance")
    parser.add_argument("--temperature", type=float, default=0.2, help="0 always takes the likeliest token")
    parser.add_argument("--top-p", type=float, default=0.95, help="smallest share of the probability that is kept")
    parser.add_argument("--max-new-tokens", type=int, default=512, help="tokens of a completion at most")
    parser.add_argument("--batch-size", type=int, default=8, help="completions at a time")
    parser.add_argument("--seed", type=int, default=0, help="of the sampling")
    parser.add_argument("--num-loops", type=int, help="loops of a LoopLM; None takes the model's own")
    parser.add_argument("--exit-at-loop", type=int, help="read a LoopLM's prediction after this loop; None the last")
    parser.add_argument(
        "--exit-threshold",
        type=float,
        help="exit probability, summed over loops, at which a token of a LoopLM leaves; 1 never, None the model's own",
    )
    parser.add_argument(
        "--edition", choices=EDITIONS, help="of the language; None takes the benchmark's: 2021, MultiPL-E's is 2015"
    )
    parser.add_argument("--run-timeout", type=float, default=5.0, help="seconds of processor time for a program")
    parser.add_argument("--workers", type=int, help="compilers at the same time; None takes one per processor")
    parser.add_argument("--device", help="such as cuda or cpu; None takes a GPU where there is one")
    parser.add_argument("--dtype", default="auto", help="type of the weights; auto takes the saved one")
    parser.add_argument("--trust-remote-code", action="store_true", help="run the code that comes with the model")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    # Only benchmarks need PyTorch; `verify` and `--help` answer at once.
    from evaluation.run import run

    return run(options)


def add_compare(subcommands):
    """Adds the subcommand `compare`."""
    parser = subcommands.add_parser(
        "compare",
        help="compare two results of one benchmark",
        description="Pairs the problems of both: differences with confidence intervals and a permutation test.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("first", type=Path, help="results file")
    parser.add_argument("second", type=Path, help="results file of the same benchmark")
    parser.set_defaults(run=_compare)


def _compare(options: argparse.Namespace) -> int:
    from evaluation.run import compare_files

    return compare_files(options)
