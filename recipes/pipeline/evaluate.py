"""The evaluation of a run's last trained model: what can run is measured, and what cannot is named with its reason."""

import json
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from evaluation.device import inference_device
from evaluation.generation_settings import GenerationSettings
from evaluation.report.write import report_results
from evaluation.results import Results
from evaluation.results_folder import read_results
from evaluation.run import evaluate_model
from evaluation.rust import SandboxUnavailable, ToolchainUnavailable
from evaluation.rust.sandbox.runner import OPT_IN, CodeExecutionNotAllowed, is_execution_allowed
from evaluation.scoring import GoldFailed, ScoringUnavailable
from evaluation.settings import EvaluationSettings
from evaluation.suites.registry import suite_class, suite_classes
from evaluation.tables import plain_console
from modeling_nanochat import LoopLMForCausalLM
from recipes.pipeline.prepare import Prepared
from recipes.pipeline.schema import Recipe
from recipes.pipeline.stages.evaluated import Evaluated, Metric
from recipes.pipeline.stages.stage import FINISHED
from trainers.data.manifest import file_identities

if TYPE_CHECKING:
    from recipes.pipeline.stages.evaluate import Evaluate

RESULTS, MEASURED, HELD_OUT = "results", "measured.json", "held_out.jsonl"
"""Folder of the results, file that says what they are of, and file of the text for the perplexity."""
WINDOW = 512


def evaluation_plan(stage: "Evaluate") -> str:
    """A sentence for the beginning of a run."""
    blocked = [each.name for each in suite_classes(stage.suites) if each.runs_programs and not is_execution_allowed()]
    can_run = [name for name in stage.suites if name not in blocked]
    words = f"The run ends with an evaluation on {', '.join(can_run)}" if can_run else ""
    if blocked:
        lacks = f"{', '.join(blocked)} needs {OPT_IN}=1, which is not set"
        words = f"{words}; {lacks}" if words else f"The evaluation at the end has nothing to run: {lacks}"
    return words


def evaluate(recipe: Recipe, stage: "Evaluate", prepared: Prepared, model_folder: Path) -> Evaluated:
    """
    Measure a saved model with the suites of a stage, each with results, samples and verdicts in the stage's folder.
    What an interrupted call left is continued, and suites that are finished are not run again, unless the model or
    the settings are other ones.
    """
    folder = recipe.stage_dir(stage)
    (folder / FINISHED).unlink(missing_ok=True)
    _keep_only_results_of(folder, stage, model_folder)
    text = folder / HELD_OUT
    text.write_text("".join(json.dumps({"code": code}) + "\n" for code in held_out_texts(prepared)), encoding="utf-8")
    model = LoopLMForCausalLM.from_pretrained(model_folder).to(inference_device())
    generation = GenerationSettings(
        num_samples=stage.samples,
        temperature=0.2 if stage.samples > 1 else 0,
        max_new_tokens=stage.max_new_tokens,
        engine=stage.engine,
    )
    settings = EvaluationSettings(
        generation=generation,
        limit=stage.limit,
        text=text,
        window=min(WINDOW, model.config.max_position_embeddings),
    )
    command, results, not_run = shlex.join(["python", *sys.argv]), folder / RESULTS, {}
    finished_results = read_results(results) if results.is_dir() and Results.files(results) else []
    found: list[tuple[str, Results]] = []
    for each in suite_classes(stage.suites):
        finished = [there for there in finished_results if each.wrote(there.benchmark)]
        if finished:
            found += [(each.name, there) for there in finished]
            continue
        try:
            measured = evaluate_model(
                model,
                each.name,
                results,
                settings,
                tokenizer=prepared.tokenizer,
                command=command,
                console=plain_console(),
            )
        except (
            CodeExecutionNotAllowed,
            ToolchainUnavailable,
            SandboxUnavailable,
            ScoringUnavailable,
            GoldFailed,
            ValueError,
        ) as error:
            # ValueError: the problems are missing, or longer than the model's positions.
            not_run[each.name] = str(error)
            continue
        found += [(each.name, result) for result in measured]
    if found:
        report_results(results, Console(quiet=True))
        plain_console().print(f"{results / 'report.html'} shows the results with all samples", markup=False)
    metrics = tuple(metric for name, result in found for metric in metrics_of(name, result))
    evaluated = Evaluated(stage=model_folder.parent.name, metrics=metrics, not_run=not_run)
    evaluated.write(folder / FINISHED)
    return evaluated


def held_out_texts(prepared: Prepared) -> Iterator[str]:
    """The held-out texts as far as they are packed, without the last one, which its block may cut off."""
    tokens = [token for row in prepared.validation for token in row["input_ids"]]
    begin, end = prepared.tokenizer.bos_token_id, prepared.tokenizer.eos_token_id
    start = None
    for place, token in enumerate(tokens):
        if token == end and start is not None:
            text = prepared.tokenizer.decode(tokens[start:place], clean_up_tokenization_spaces=False)
            assert isinstance(text, str), "one sequence is decoded to one text"
            yield text
            start = None
        elif token == begin:
            start = place + 1


def _keep_only_results_of(folder: Path, stage: "Evaluate", model_folder: Path) -> None:
    """Delete the results in the stage's folder unless they are of this model and these settings."""
    settings = {name: getattr(stage, name) for name in ("samples", "limit", "max_new_tokens", "engine")}
    weights = file_identities(sorted(model_folder.glob("*.safetensors")))
    measured = json.dumps({"stage": model_folder.parent.name, "weights": weights} | settings) + "\n"
    path = folder / MEASURED
    if not path.exists() or path.read_text() != measured:
        shutil.rmtree(folder / RESULTS, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(measured)


def metrics_of(suite: str, results: Results) -> Iterator[Metric]:
    """Yield the metrics of a suite, each with the number of problems that it is a mean over."""
    is_share = suite_class(suite).has_shares(results)
    for name, interval in results.metrics.items():
        of = f"{len(results.per_problem[name])} {results.unit}"
        yield Metric(benchmark=results.benchmark, name=name, of=of, is_share=is_share, interval=interval)
