"""The evaluation of a model on suites."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import Console
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from evaluation.generate import check_depth
from evaluation.models.digest import digest_of_loaded
from evaluation.models.opening import Loading, open_model
from evaluation.models.served_model import ServedModel, SuiteDoesNotFit
from evaluation.progress import hide_library_bars
from evaluation.report.write import print_results
from evaluation.results import Results
from evaluation.results_folder import ResultsFolder, describe, describe_served
from evaluation.rust import RustVerifier
from evaluation.rust.sandbox.runner import require_consent
from evaluation.settings import EvaluationSettings
from evaluation.suites.problem_files import ProblemsMissing
from evaluation.suites.registry import ALL, suite_classes
from evaluation.suites.suite import Log, Suite, SuiteRun


def evaluate_model(
    model: str | PreTrainedModel | ServedModel,
    suites: str | Sequence[str | Suite] = ALL,
    output_dir: Path = Path("results"),
    settings: EvaluationSettings | None = None,
    *,
    tokenizer: PreTrainedTokenizerBase | None = None,
    loading: Loading | None = None,
    command: str = "",
    console: Console | None = None,
) -> list[Results]:
    """
    Measure a model on suites, and write results, samples and verdicts as files. An interrupted evaluation continues
    when it is called again. Whatever can be refused is refused before the model is loaded.

    Args:
        model: Folder or Hub name of a causal language model, GGUF file, or `openai:URL` of a server; or a loaded
            model, which is put into evaluation mode, or a served one.
        suites: Names, such as "compile-rate", or suites with their problems. "all" runs every suite and skips those
            whose problems are missing, and those that need the weights of a served model.
        output_dir: Folder for the files; must not hold results of another model.
        settings: Of all suites; None for the defaults. Suites that are passed with their problems keep them.
        tokenizer: Of a loaded model.
        loading: How to load a model that is given by name.
        command: Command that makes the results again, which they record.
        console: Where tables, notes and progress are shown; None shows nothing.

    Returns:
        The results, in the order of the suites.

    Raises:
        ValueError: A setting or the model does not fit.
        CodeExecutionNotAllowed: A suite runs programs, and `HF_ALLOW_CODE_EVAL=1` is not set.
        ToolchainUnavailable, SandboxUnavailable, ScoringUnavailable: The compiler or the sandbox is missing or fails.
        GoldFailed: A suite's own solution fails on this machine.
    """
    settings, loading = settings or EvaluationSettings(), loading or Loading()
    if not isinstance(model, str | ServedModel) and tokenizer is None:
        raise ValueError("tokenizer must be given with a loaded model, got None")
    loading.check(model if isinstance(model, str) else None)
    if output_dir.exists() and not output_dir.is_dir():
        raise ValueError(f"output_dir must be a folder, got {output_dir}, which is a file")

    def log(line: str) -> None:
        if console is not None:
            console.print(line, markup=False)

    wanted = [suites] if isinstance(suites, str) else suites
    loaded = load_suites(wanted, settings, log)
    names = [suite.results_name for suite in loaded]
    if len(set(names)) < len(names):
        raise ValueError(f"suites must have results of different names, got {', '.join(names)}")
    with ExitStack() as stack:
        # Before the model is loaded: the compiler or the sandbox may be missing.
        kinds = {kind for each in loaded if (kind := _kind_of_verifier(each, settings)) is not None}
        verifiers = {
            (edition, seconds): stack.enter_context(RustVerifier(edition, settings.num_workers, run_timeout=seconds))
            for edition, seconds in sorted(kinds)
        }
        name = model if isinstance(model, str) else None
        if isinstance(model, str):
            model, tokenizer = stack.enter_context(open_model(model, loading, settings.generation))
        if isinstance(model, ServedModel):
            model.check(settings.generation)
        else:
            model.eval()
            check_depth(model, settings.generation)
        loaded = fitting_suites(loaded, model, tokenizer, ALL in wanted, log)
        names = [suite.results_name for suite in loaded]
        folder = ResultsFolder(output_dir, _description(model, name), command)
        folder.check(names)
        runs = []
        for suite in loaded:
            kind = _kind_of_verifier(suite, settings)
            verifier = None if kind is None else verifiers[kind]
            run = SuiteRun(model, tokenizer, settings, output_dir, verifier, progress=console is not None)
            runs.append((suite.checked(run, log), run))
        found = []
        for suite, run in runs:
            started = time.perf_counter()
            found.append(folder.write(suite.run(run), started))
            if console is not None:
                print_results(console, found[-1], output_dir)
    return found


def _description(model: PreTrainedModel | ServedModel, name: str | None) -> dict[str, Any]:
    """Return what results record of a model; `name` is that by which it was opened, None for one in memory."""
    if isinstance(model, ServedModel):
        return describe_served(model)
    return describe(model, str(model.name_or_path) if name is None else name, digest_of_loaded(model, name))


def _kind_of_verifier(suite: Suite, settings: EvaluationSettings) -> tuple[str, float] | None:
    """Return edition and seconds of a run of the verifier that a suite needs; None if it needs no compiler."""
    if suite.edition is None:
        return None
    return settings.edition or suite.edition, max(settings.run_timeout, suite.least_run_timeout)


def load_suites(suites: Sequence[str | Suite], settings: EvaluationSettings, log: Log) -> list[Suite]:
    """
    Return the suites with their problems; with "all", those whose problems are missing are skipped, and logged.

    Raises:
        ValueError: A suite is unknown or cannot be loaded, or `chat` is set and no suite takes it.
        CodeExecutionNotAllowed: A suite runs programs, and `HF_ALLOW_CODE_EVAL=1` is not set.
    """
    names = [each for each in suites if isinstance(each, str)]
    given = [each for each in suites if not isinstance(each, str)]
    classes = suite_classes(names)
    if settings.chat is not None and not any(each.takes_chat for each in (*classes, *given)):
        raise ValueError(f"chat needs a suite of programs, got {', '.join(each.name for each in (*classes, *given))}")
    if any(each.runs_programs for each in (*classes, *given)):
        require_consent()
    hide_library_bars()
    loaded: list[Suite] = []
    for each in classes:
        try:
            loaded.append(each.load(settings))
        except ProblemsMissing as error:
            if ALL not in names:
                raise
            log(f"{each.name} is skipped: {error}")
    return [*loaded, *given]


def fitting_suites(
    suites: Sequence[Suite],
    model: PreTrainedModel | ServedModel,
    tokenizer: PreTrainedTokenizerBase | None,
    skip: bool,
    log: Log,
) -> list[Suite]:
    """
    Return the suites that can run on a model. Those that do not fit it are left out and logged with `skip`.

    Raises:
        ValueError: A suite cannot run on this model.
    """
    fitting = []
    for suite in suites:
        try:
            suite.check_model(model, tokenizer)
        except SuiteDoesNotFit as error:
            if not skip:
                raise
            log(f"{suite.name} is skipped: {error}")
        else:
            fitting.append(suite)
    return fitting
