"""What `python -m evaluation run` and `compare` do."""

import argparse
import json
import shlex
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path

from rich.table import Table
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from evaluation.chat_mode import INSTRUCTION, ChatMode
from evaluation.generate import Sampling, check_depth, generate, positions
from evaluation.loading import check_dtype, device_of, load_model
from evaluation.progress import hide_library_bars
from evaluation.report import Report, describe, print_results
from evaluation.results import Results, compare
from evaluation.rust import RustVerifier, Verdict
from evaluation.rust.sandbox.runner import require_consent
from evaluation.rust.syntax.answers import extract_rust
from evaluation.scoring import GoldFailed, results_of
from evaluation.suites import compile_rate, humaneval_rust, multipl_e_rust, performance, perplexity
from evaluation.suites.compile_rate import CompileRate
from evaluation.suites.humaneval_rust import HumanEvalRust
from evaluation.suites.multipl_e_rust import MultiplERust
from evaluation.suites.rows import HINT, BadRow, ProblemsMissing
from evaluation.tables import plain_console, print_table
from evaluation.text_files import read_text

MODE = {"mode": "base", "instruction": None, "chat_template_sha256": None}
"""The settings that say how a model was asked, as results from before there was a chat mode have them."""
Suite = HumanEvalRust | MultiplERust | CompileRate
NO_TEXT = "the perplexity needs text: give .rs files or JSON lines by --text"


def run(options: argparse.Namespace) -> int:
    """Runs the chosen benchmarks; prints a table for each."""
    sampling = Sampling(
        options.n,
        options.temperature,
        options.top_p,
        options.max_new_tokens,
        options.seed,
        options.batch_size,
        options.num_loops,
        options.exit_at_loop,
        options.exit_threshold,
    )
    for size in options.k:
        if not 1 <= size <= options.n:
            raise ValueError(f"--k must be from 1 to --n {options.n}, the samples per problem, got {size}")
    if options.limit is not None and options.limit < 1:
        raise ValueError(f"--limit must be at least 1, got {options.limit}")
    chat = _chat(options)
    check_dtype(options.dtype)
    device_of(options.device)
    if options.suite in ("humaneval-rust", "multipl-e-rust", "all"):
        require_consent()
    if options.window < 2:
        raise ValueError(f"--window must be at least 2 tokens, got {options.window}")
    if options.out.exists() and not options.out.is_dir():
        raise ValueError(f"--out must be a folder, got {options.out}, which is a file")
    hide_library_bars()
    (suites, left_out, skipped), texts, workload = _suites(options), _texts(options), _workload(options)
    if options.suite == "all" and not texts:
        skipped["perplexity"] = NO_TEXT
    console = plain_console()
    for name, reason in skipped.items():
        console.print(f"{name} is skipped: {reason}", markup=False)
    with ExitStack() as stack:
        # Before the model is loaded, because it may be a compiler or a sandbox that is missing.
        editions = {options.edition or suite.edition for suite in suites}
        verifiers = {
            edition: stack.enter_context(RustVerifier(edition, options.workers, run_timeout=options.run_timeout))
            for edition in sorted(editions)
        }
        model, tokenizer = load_model(options.model, options.trust_remote_code, options.dtype, options.device)
        if chat:
            chat.render(tokenizer, "")  # refuses a model that cannot be asked before the long work
        check_depth(model, sampling)
        if workload:
            performance.settings(model, workload)  # refuses what cannot be measured before the long work
        command = shlex.join(["python", "-m", "evaluation", *sys.argv[1:]])
        report = Report(options.out, describe(model, options.model), command)
        asked = [*(suite.name for suite in suites), *([perplexity.NAME] if texts else [])]
        report.check_place([*asked, *([performance.NAME] if workload else [])])
        for index, suite in enumerate(suites):
            console.print(
                f"{suite.name}: checking {len(suite.problems)} problems by what is known to pass and to fail"
            )
            verifier = verifiers[options.edition or suite.edition]
            suites[index], unsound = _sound(suite, verifier, options.skip_bad_rows)
            left_out[suite.name] += unsound
            for line in left_out[suite.name]:
                console.print(f"{suite.name}: left out {line}", markup=False)
        for suite in suites:
            verifier = verifiers[options.edition or suite.edition]
            source = {MultiplERust: options.multipl_e, HumanEvalRust: options.problems}.get(type(suite))
            results = run_programs(
                suite,
                model,
                tokenizer,
                sampling,
                verifier,
                report,
                options.k,
                True,
                chat,
                left_out[suite.name],
                source,
            )
            print_results(console, results, options.out)
    if texts:
        started = time.perf_counter()
        window = min(options.window, positions(model) or options.window)
        found = perplexity.score_texts(
            model,
            tokenizer,
            texts,
            window,
            options.num_loops,
            options.batch_size,
            True,
            options.exit_at_loop,
            options.exit_threshold,
        )
        settings = {"window": window, "text": str(options.text)} | sampling.depth(model.config)
        results = report.write(found, settings, started)
        print_results(console, results, options.out)
    if workload:
        started = time.perf_counter()
        results = report.write(performance.measure(model, workload, progress=True), asdict(workload), started)
        print_results(console, results, options.out)
    return 0


def _chat(options: argparse.Namespace) -> ChatMode | None:
    if not options.chat:
        given = [name for name in ("chat_template", "instruction") if getattr(options, name) is not None]
        if given:
            raise ValueError(f"--{given[0].replace('_', '-')} needs --chat, which asks the model in its chat template")
        return None
    if options.suite in ("perplexity", "performance"):
        raise ValueError(f"--chat needs a benchmark of programs, got --suite {options.suite}")
    instruction = INSTRUCTION if options.instruction is None else options.instruction
    if options.chat_template is None:
        return ChatMode(instruction)
    return ChatMode(instruction, read_text(options.chat_template))


def _suites(options: argparse.Namespace) -> tuple[list[Suite], dict[str, list[str]], dict[str, str]]:
    """The benchmarks of programs, for each the rows that were left out, and what the others of "all" need."""
    suites: list[Suite] = []
    left_out: dict[str, list[str]] = {}
    skipped: dict[str, str] = {}

    def add(kind: type[Suite], problems: Sequence, bad: Sequence[BadRow] = ()) -> None:
        suites.append(kind(problems[: options.limit], options.chat))
        left_out[suites[-1].name] = [str(row) for row in bad]

    sources = {
        "multipl-e-rust": (MultiplERust, multipl_e_rust.read_rows, options.multipl_e),
        "humaneval-rust": (HumanEvalRust, humaneval_rust.read_rows, options.problems),
    }
    for name, (kind, read_rows, path) in sources.items():
        if options.suite not in (name, "all"):
            continue
        try:
            add(kind, *read_rows(path, options.skip_bad_rows))
        except ProblemsMissing as error:
            if options.suite != "all":
                raise
            skipped[name] = str(error)
    if options.suite in ("compile-rate", "all"):
        add(CompileRate, compile_rate.read_problems())
    return suites, left_out, skipped


def _sound(suite: Suite, verifier: RustVerifier, skip_bad_rows: bool) -> tuple[Suite, list[str]]:
    """The benchmark without the problems whose own solutions contradict their tests, if they may be left out."""
    left_out: list[str] = []
    while True:
        try:
            suite.check_gold(verifier, progress=True)
            return suite, left_out
        except GoldFailed as error:
            if isinstance(suite, CompileRate):
                raise
            problems = [problem for problem in suite.problems if problem.name not in error.problems]
            if not skip_bad_rows or not problems:
                raise GoldFailed(f"{error.what} ({HINT})" if problems else error.what, error.wrong) from error
            left_out += [f"{name}: {reason}" for name, reason in error.problems.items()]
            suite = type(suite)(problems, suite.chat)


def _texts(options: argparse.Namespace) -> dict[str, str]:
    if options.suite not in ("perplexity", "all"):
        return {}
    if options.text is None:
        if options.suite == "all":
            return {}
        raise ValueError(NO_TEXT)
    return dict(islice(perplexity.read_texts(options.text).items(), options.limit))


def _workload(options: argparse.Namespace) -> performance.Workload | None:
    if options.suite not in ("performance", "all"):
        return None
    depth = options.num_loops if options.exit_at_loop is None else options.exit_at_loop
    thresholds = options.exit_thresholds
    if thresholds is None and options.exit_threshold is not None:
        thresholds = [options.exit_threshold] if options.exit_threshold < 1 else []
    return performance.Workload(
        options.batch_sizes,
        options.prompt_tokens,
        options.new_tokens,
        options.rounds,
        None if depth is None else [depth],
        thresholds,
    )


def run_programs(
    suite: Suite,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    sampling: Sampling,
    verifier: RustVerifier,
    report: "Report",
    k: Sequence[int] = (1,),
    progress: bool = False,
    chat: ChatMode | None = None,
    left_out: Sequence[str] = (),
    source: Path | None = None,
) -> Results:
    """Samples, verifies and writes one benchmark of programs; `left_out` are rows of `source` without a problem."""
    started = time.perf_counter()
    path = report.folder / f"{suite.name}.samples.jsonl"
    samples = generate(model, tokenizer, suite.prompts(), sampling, path, progress, suite.stop, chat)
    completions: dict[str, list[str]] = {name: [] for name in suite.names}
    for sample in samples:
        completions[sample.prompt].append(sample.completion)
    verdicts = suite.verify(list(completions.values()), verifier, progress=progress)
    _write_verdicts(suite.names, verdicts, report.folder / f"{suite.name}.verdicts.jsonl")
    loops = [sample.mean_loops for sample in samples if sample.mean_loops is not None]
    settings = asdict(sampling) | {"edition": verifier.edition, "run_timeout": verifier.run_timeout}
    settings["problems"] = None if source is None else str(source)
    settings |= {"mode": "base"} if chat is None else {"mode": "chat"} | chat.record(tokenizer)
    details = {
        "completions": len(samples),
        "completions_that_end_their_function": sum(sample.finished for sample in samples),
        "mean_loops": sum(loops) / len(loops) if loops else None,
        "rows_left_out": len(left_out),
        "left_out": list(left_out),
    }
    if chat is not None:
        programs = sum(extract_rust(sample.completion) is not None for sample in samples)
        details |= {"answers_that_end": details.pop("completions_that_end_their_function")}
        details |= {"answers_with_a_program": programs}
    found = replace(results_of(suite.name, suite.metric, suite.names, verdicts, k), details=details)
    return report.write(found, settings, started, {"rustc": verifier.resources.toolchain.version})


def _write_verdicts(names: Sequence[str], verdicts: Sequence[Sequence[Verdict]], path: Path) -> None:
    with path.open("w") as file:
        for name, each in zip(names, verdicts, strict=True):
            for index, verdict in enumerate(each):
                line = {
                    "prompt": name,
                    "index": index,
                    "status": verdict.status,
                    "errors": verdict.error_codes,
                    "tests_passed": verdict.tests_passed,
                    "tests_total": verdict.tests_total,
                }
                file.write(json.dumps(line) + "\n")


def compare_files(options: argparse.Namespace) -> int:
    """Prints the differences of two results files."""
    first, second = Results.read(options.first), Results.read(options.second)
    console = plain_console()
    table = Table(title=f"{first.benchmark}: {options.first} and {options.second}")
    for column in ("metric", first.unit, "first", "second", "second - first", "95 % interval", "p"):
        table.add_column(column, justify="left" if column == "metric" else "right")
    for found in compare(first, second):
        table.add_row(
            found.metric,
            str(found.num_problems),
            f"{found.first:.4f}",
            f"{found.second:.4f}",
            f"{found.difference.value:+.4f}",
            found.difference.limits("+.4f"),
            f"{found.p_value:.4f}",
        )
    print_table(console, table)
    for name in MODE:
        if first.settings.get(name, MODE[name]) != second.settings.get(name, MODE[name]):
            values = [json.dumps(each.settings.get(name, MODE[name])) for each in (first, second)]
            console.print(f"They were asked in different ways: {name} {values[0]} and {values[1]}", markup=False)
    return 0
