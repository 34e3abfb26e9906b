"""The subcommands that evaluate models: `run`, `compare` and `report`; without PyTorch."""

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from evaluation import complete
from evaluation.generation_settings import ENGINES
from evaluation.options import (
    add_command,
    add_former_name,
    add_model,
    add_num_loops,
    add_output_dir,
    add_seed,
)
from evaluation.rust.rustc.toolchain import EDITIONS
from evaluation.suites.registry import ALL, SUITES

if TYPE_CHECKING:
    from evaluation.results import Results


def add_run(subcommands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand `run`."""
    parser = add_command(
        subcommands,
        "run",
        _run,
        help="evaluate a model on benchmarks",
        description="Evaluates a model on one or more suites and writes results, samples and verdicts as files. An "
        "interrupted run continues when it is started again. Suites that run programs which the model wrote need "
        "HF_ALLOW_CODE_EVAL=1.",
    )
    add_model(parser, help="folder of a saved model, its name on the Hub, GGUF file, or openai:URL of a server")
    parser.add_argument(
        "--suite",
        nargs="+",
        action="extend",
        choices=(*SUITES, ALL),
        metavar="SUITE",
        help=f"suites to run, of {', '.join(SUITES)}; all skips those whose problems are missing (default: {ALL})",
    )
    output_dir = add_output_dir(parser, "folder for the files", Path("results"))
    add_former_name(parser, "--out", output_dir)
    _add_problems(parser)
    _add_generation(parser)
    _add_programs(parser)
    _add_perplexity_and_performance(parser)
    parser.add_argument(
        "--all-depths",
        action="store_true",
        help="run a LoopLM with 1, 2, ... loops up to its own number, each in a folder loops_N of --output-dir; the "
        "page of `report` then shows them side by side",
    )
    model = parser.add_argument_group("loading the model")
    model.add_argument("--device", help="such as cuda or cpu (default: a GPU if there is one)")
    model.add_argument("--dtype", default="auto", help="type of the weights; auto is the saved one")
    model.add_argument("--trust-remote-code", action="store_true", help="run the code that comes with the model")


def _add_problems(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("problems")
    group.add_argument(
        "--limit", type=int, help="use only the first LIMIT problems, or texts, of a suite (default: all)"
    )
    group.add_argument(
        "--problems",
        action="append",
        default=[],
        metavar="[SUITE=]FILE",
        help="file with the problems of a suite, by default the first one that runs; may be repeated (default: the "
        "folder that NANOCHAT_DATA names, or the Hub)",
    )
    group.add_argument(
        "--crates",
        type=Path,
        help="folder of crate sources, such as cargo vendor writes, which the problems of crate-holes are from",
    )
    group.add_argument(
        "--repair-of",
        choices=("humaneval-rust", "compile-rate"),
        default="humaneval-rust",
        help="suite whose problems the suite repair asks",
    )
    # The former option of one suite.
    group.add_argument(
        "--multipl-e",
        action="append",
        dest="problems",
        type=lambda file: f"multipl-e-rust={file}",
        help=argparse.SUPPRESS,
    )
    group.add_argument(
        "--skip-bad-rows",
        action="store_true",
        help="leave out rows of --problems without a valid problem, and list them",
    )


def _add_generation(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("generation")
    group.add_argument(
        "--k",
        type=int,
        nargs="+",
        default=[],
        help="values of k to estimate pass@k for (default: those of 1, 10 and 100 that --num-samples allows)",
    )
    number = group.add_argument(
        "--num-samples",
        type=int,
        default=1,
        help="samples per problem; at least the largest k. Greedy decoding has one",
    )
    add_former_name(parser, "--n", number)
    group.add_argument(
        "--temperature",
        type=float,
        nargs="+",
        default=[0.2],
        help="sampling temperature; 0 decodes greedily. Several are evaluated one after the other, each in its own "
        "folder, such as temperature-0.2",
    )
    group.add_argument("--top-p", type=float, default=0.95, help="probability that nucleus sampling keeps")
    group.add_argument(
        "--repetition-penalty",
        type=float,
        default=1.0,
        help="divides the positive logits of tokens that were there before, and multiplies negative ones; 1 is none",
    )
    group.add_argument("--max-new-tokens", type=int, default=512, help="maximum number of tokens of a completion")
    group.add_argument(
        "--engine",
        choices=ENGINES,
        default="torch",
        help="program that generates: torch, or native, which runs a LoopLM on the CPU many times faster and compiles "
        "itself with rustc at its first use",
    )
    group.add_argument("--batch-size", type=int, default=8, help="completions, or texts, that are processed together")
    add_seed(group)
    add_num_loops(group)
    group.add_argument(
        "--exit-at-loop", type=int, help="predict after this loop of a LoopLM (default: the model's own setting)"
    )
    group.add_argument(
        "--exit-threshold",
        type=float,
        help="cumulative exit probability at which a token of a LoopLM exits; 1 disables early exit (default: the "
        "model's own setting)",
    )
    group.add_argument(
        "--chat",
        action="store_true",
        help="ask an instruction-tuned model in its chat template, and take the program out of the answer",
    )
    group.add_argument(
        "--chat-template", type=Path, help="file with a Jinja template for --chat (default: the model's own)"
    )
    group.add_argument(
        "--instruction",
        help="instruction for --chat, with {prompt} where the problem goes (default: the one in docs/evaluation.md)",
    )


def _add_programs(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("programs")
    group.add_argument(
        "--edition", choices=EDITIONS, help="Rust edition (default: the suite's own, 2015 for MultiPL-E, else 2021)"
    )
    group.add_argument("--run-timeout", type=float, default=5.0, help="seconds of processor time for each program")
    workers = group.add_argument(
        "--num-workers", type=int, help="compilers that run at the same time (default: one per processor)"
    )
    add_former_name(parser, "--workers", workers)


def _add_perplexity_and_performance(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("perplexity")
    group.add_argument(
        "--text", type=Path, help="folder of .rs files, one such file, or JSON lines with a column code"
    )
    group.add_argument("--window", type=int, default=512, help="window in tokens")
    group = parser.add_argument_group("performance")
    group.add_argument(
        "--batch-sizes", type=int, nargs="+", default=[1, 8], help="numbers of sequences that are generated together"
    )
    group.add_argument("--prompt-tokens", type=int, default=128, help="prompt tokens per sequence")
    group.add_argument("--new-tokens", type=int, default=32, help="tokens generated per sequence")
    group.add_argument(
        "--exit-thresholds",
        type=float,
        nargs="*",
        help="exit thresholds of a LoopLM (default: --exit-threshold, else 0.5, 0.8 and 0.95)",
    )
    group.add_argument("--rounds", type=int, default=3, help="measurements of each setting")


def _run(options: argparse.Namespace) -> int:
    # Only here is PyTorch needed: `--help` and `verify` answer at once.
    from evaluation.every_depth import evaluate_every_depth
    from evaluation.generation_settings import GenerationSettings
    from evaluation.run import Loading, evaluate_model
    from evaluation.settings import EvaluationSettings
    from evaluation.tables import plain_console
    from evaluation.temperatures import evaluate_at_temperatures

    suites, temperatures = options.suite or [ALL], options.temperature
    generation = GenerationSettings(
        num_samples=options.num_samples,
        temperature=max(temperatures),
        top_p=options.top_p,
        max_new_tokens=options.max_new_tokens,
        repetition_penalty=options.repetition_penalty,
        seed=options.seed,
        batch_size=options.batch_size,
        num_loops=options.num_loops,
        exit_at_loop=options.exit_at_loop,
        exit_threshold=options.exit_threshold,
        engine=options.engine,
    )
    settings = EvaluationSettings(
        generation=generation,
        k=options.k,
        limit=options.limit,
        problems=problem_files(options.problems, suites),
        crates=options.crates,
        repair_of=options.repair_of,
        skip_bad_rows=options.skip_bad_rows,
        chat=_chat(options),
        edition=options.edition,
        run_timeout=options.run_timeout,
        num_workers=options.num_workers,
        text=options.text,
        window=options.window,
        batch_sizes=options.batch_sizes,
        prompt_tokens=options.prompt_tokens,
        new_tokens=options.new_tokens,
        rounds=options.rounds,
        exit_thresholds=options.exit_thresholds,
    )
    loading = Loading(options.dtype, options.device, options.trust_remote_code)
    model, folder, command, console = options.model, options.output_dir, _command(), plain_console()
    if options.all_depths and len(temperatures) > 1:
        raise ValueError(f"--all-depths needs one --temperature, got {', '.join(map(str, temperatures))}")
    if options.all_depths:
        evaluate_every_depth(model, suites, folder, settings, loading, command, console)
    elif len(temperatures) == 1:
        evaluate_model(model, suites, folder, settings, loading=loading, command=command, console=console)
    else:
        evaluate_at_temperatures(
            model, suites, temperatures, folder, settings, loading=loading, command=command, console=console
        )
    return 0


def problem_files(given: list[str], suites: list[str]) -> dict[str, Path]:
    """
    Return the problem file of each suite from the values of `--problems`. A value without "SUITE=" is the file of the
    first suite that runs.
    """
    first = next(name for name in SUITES if name in suites or ALL in suites)
    files = {}
    for value in given:
        name, equals, file = value.partition("=")
        named = bool(equals) and name in SUITES
        files[name if named else first] = Path(file if named else value)
    return files


def _chat(options: argparse.Namespace):
    from evaluation.chat_mode import INSTRUCTION, ChatMode
    from evaluation.text_files import read_text

    if not options.chat:
        for name, value in (("--chat-template", options.chat_template), ("--instruction", options.instruction)):
            if value is not None:
                raise ValueError(f"{name} needs --chat, which asks the model in its chat template")
        return None
    template = None if options.chat_template is None else read_text(options.chat_template)
    return ChatMode(INSTRUCTION if options.instruction is None else options.instruction, template)


def _command() -> str:
    """Return the command line of this process, as a user would type it."""
    program = Path(sys.argv[0])
    words = ["python", "-m", program.parent.name] if program.name == "__main__.py" else [program.name]
    return shlex.join([*words, *sys.argv[1:]])


def add_compare(subcommands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand `compare`."""
    parser = add_command(
        subcommands,
        "compare",
        _compare,
        help="compare results of the same benchmarks",
        description="Compares results with the first ones, problem by problem: differences with confidence intervals, "
        "and a paired permutation test. Folders are compared by the benchmarks that both have.",
    )
    parser.add_argument("first", type=Path, help="results file, or folder with results files")
    parser.add_argument("others", type=Path, nargs="+", metavar="other", help="results to compare with it")


def _compare(options: argparse.Namespace) -> int:
    from evaluation.comparison import compare_results, comparison_table, differing_modes
    from evaluation.tables import plain_console, print_table

    console = plain_console()
    first = _results_at(options.first)
    for other in options.others:
        second = _results_at(other)
        if options.first.is_dir() or other.is_dir():
            shared = [name for name in first if name in second]
            if not shared:
                raise ValueError(
                    f"both must have results of a benchmark, got {', '.join(first)} in {options.first}, and "
                    f"{', '.join(second)} in {other}"
                )
            pairs = [(first[name], second[name]) for name in shared]
        else:
            pairs = list(zip(first.values(), second.values(), strict=True))
        for ours, theirs in pairs:
            title = f"{ours.benchmark}: {options.first} and {other}"
            print_table(console, comparison_table(ours, compare_results(ours, theirs), title))
            for line in differing_modes(ours, theirs):
                console.print(line, markup=False)
    return 0


def _results_at(place: Path) -> "dict[str, Results]":
    """Results of a file, or of the files of a folder, by their benchmarks."""
    from evaluation.results import Results
    from evaluation.results_folder import read_results

    found = read_results(place) if place.is_dir() else [Results.read(place)]
    return {each.benchmark: each for each in found}


def add_report(subcommands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand `report`."""
    parser = add_command(
        subcommands,
        "report",
        _report,
        help="show results as tables, plots and one HTML page",
        description="Prints the tables of all results files in a folder and its subfolders, plots them, and writes "
        "report.md and report.html, one file to open in a browser, with all samples and the compiler's messages. "
        "Nothing is run.",
    )
    parser.add_argument(
        "results_dir", type=Path, metavar="RESULTS_DIR", help="folder that run wrote, or one with a folder per model"
    )


def _report(options: argparse.Namespace) -> int:
    from evaluation.report.write import report_results
    from evaluation.tables import plain_console

    report_results(options.results_dir, plain_console())
    return 0


def add_complete(subcommands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand `complete`."""
    parser = add_command(
        subcommands, "complete", complete.run, "continue a prompt with a saved model", complete.DESCRIPTION
    )
    complete.add_options(parser)
