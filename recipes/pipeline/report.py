"""The closing report of a run: a completion, losses, compile rate and sizes, as tables and `report.json`."""

import json
import shlex
import shutil
import sys
from dataclasses import asdict

from rich.table import Table
from rich.text import Text
from transformers import PreTrainedTokenizerFast

from evaluation.clean_process import complete_in_clean_process
from evaluation.device import inference_device
from evaluation.generation_settings import GenerationSettings
from evaluation.results import Results
from evaluation.run import evaluate_model
from evaluation.rust import SandboxUnavailable, ToolchainUnavailable
from evaluation.scoring import GoldFailed, ScoringUnavailable
from evaluation.settings import EvaluationSettings
from evaluation.tables import plain_console, print_table
from model_cards.model_statistics import file_sizes
from modeling_nanochat import BitLinear, LoopLMForCausalLM
from recipes.pipeline.prepare import Prepared
from recipes.pipeline.publication import show_publication
from recipes.pipeline.report_page import write_page
from recipes.pipeline.schema import Recipe
from recipes.pipeline.stages.stage import Stage
from trainers.callbacks import NOTABLE_RISE
from trainers.data.verify import VerifiedSample

# Of a completion; most functions that are asked for are shorter.
EVALUATED_TOKENS = 96
console = plain_console()


def compile_rate_of(model: LoopLMForCausalLM, tokenizer: PreTrainedTokenizerFast, recipe: Recipe) -> Results | str:
    """The share of completions that compile, decoded greedily; or why it was not measured."""
    folder = recipe.run_dir / "evaluation" / "report"
    # Of a model that is trained anew the samples are other ones.
    shutil.rmtree(folder, ignore_errors=True)
    settings = EvaluationSettings(
        generation=GenerationSettings(temperature=0, max_new_tokens=EVALUATED_TOKENS),
        limit=recipe.training.eval_prompts,
    )
    command = shlex.join(["python", *sys.argv])
    try:
        (found,) = evaluate_model(model, "compile-rate", folder, settings, tokenizer=tokenizer, command=command)
    except (ToolchainUnavailable, SandboxUnavailable, ScoringUnavailable, GoldFailed, ValueError) as error:
        # ValueError: the prompts are longer than the model's positions.
        return f"not measured: {error}"
    return found


def report(recipe: Recipe, prepared: Prepared, last: Stage) -> None:
    """
    Print a completion and the closing tables, and write `report.json` and the page beside the stages.

    Args:
        recipe: The run.
        prepared: Its data.
        last: Stage whose model is the run's result.
    """
    folder = recipe.stage_dir(last) / "model"
    # Pairs: a stage with a mix is not hashable.
    results = [(stage, result) for stage in recipe.active_stages if (result := stage.result(recipe)) is not None]
    model = LoopLMForCausalLM.from_pretrained(folder).to(inference_device())
    verification = recipe.run_dir / "prepare" / "verification.json"
    sample = VerifiedSample(**json.loads(verification.read_text())) if recipe.data.verified_sample else None
    completion = complete_in_clean_process(folder, recipe.prompt, min_new_tokens=48)
    rate = None
    if recipe.training.eval_prompts:
        rate = compile_rate_of(model, prepared.tokenizer, recipe)
    losses = {stage.name: list(result.held_out_loss) for stage, result in results if result.held_out_loss}
    longest = max((result for _, result in results), key=lambda result: result.tokens)
    sizes = file_sizes(folder, group_code=True)
    found = {
        "recipe": recipe.name,
        "description": recipe.description,
        "init_from": recipe.init_from and str(recipe.init_from.folder),
        "last_stage": last.name,
        "verified_sample": sample and asdict(sample),
        "held_out_blocks": len(prepared.validation),
        "held_out_loss": losses,
        "compile_rate": rate.metrics["compiles@1"].value if isinstance(rate, Results) else rate,
        "tokens_seen": sum(result.tokens for _, result in results),
        "tokens_per_second": longest.tokens_per_second,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "ternary_parameters": sum(m.weight.numel() for m in model.modules() if isinstance(m, BitLinear)),
        "file_sizes": sizes | {"all files": sum(sizes.values())},
        "prompt": recipe.prompt,
        "completion": completion,
    }
    for stage, result in results:
        result.add_to(found, stage)
    (recipe.run_dir / "report.json").write_text(json.dumps(found, indent=2) + "\n")
    page = write_page(recipe.run_dir)

    console.print("\nReloaded in a clean process with trust_remote_code, the model continues:\n")
    console.print(completion, markup=False, soft_wrap=True)
    print_table(console, _loss_table(losses, prepared))
    console.print(_rise(losses), markup=False)
    table = Table(title=f"\n{recipe.name}: {recipe.description}", show_header=False, title_justify="left")
    if sample is not None:
        total = sum(sample.counts.values())
        table.add_row(f"rustc on {total} of {sample.texts:,} texts", sample.problem or _words(sample))
    if rate is not None:
        table.add_row(f"completions that compile, of {recipe.training.eval_prompts}", _rate_words(rate))
    if recipe.init_from is not None:
        table.add_row("started from", str(recipe.init_from.folder))
    table.add_row("tokens seen", f"{found['tokens_seen']:,}")
    speed = found["tokens_per_second"]
    table.add_row("speed, evaluations included", "not measured" if speed is None else f"{speed:,.0f} tokens/s")
    table.add_row("parameters", f"{found['parameters']:,}, of them ternary {found['ternary_parameters']:,}")
    table.add_row("blocks applied per token", model.config.stack_in_words())
    for name, size in found["file_sizes"].items():
        table.add_row(f"{last.name}/model: {name}", f"{size / 1e6:,.3f} MB")
    for stage, result in results:
        for name, value in result.rows(stage):
            table.add_row(name, Text(value))
    print_table(console, table)
    console.print(
        f"Everything is in {recipe.run_dir}; {page} shows it with plots and samples", markup=False, soft_wrap=True
    )
    show_publication(console, recipe, last)


def _loss_table(losses: dict[str, list[float]], prepared: Prepared) -> Table:
    """A row for each stage, with the loss after each loop."""
    title = f"\nLoss on all {len(prepared.validation)} held-out blocks, in nats per token"
    table = Table("after stage", title=title, title_justify="left")
    for loop in range(1, 1 + max(map(len, losses.values()), default=0)):
        table.add_column(f"loop {loop}", justify="right")
    for name, by_loop in losses.items():
        table.add_row(name, *(f"{loss:.4f}" for loss in by_loop))
    return table


def _rise(losses: dict[str, list[float]]) -> str:
    """A warning that the held-out loss rose in a later stage; "" if it did not."""
    last = {name: by_loop[-1] for name, by_loop in losses.items()}
    best = min(last, key=lambda stage: last[stage], default="")
    if not last or last[list(last)[-1]] <= last[best] + NOTABLE_RISE:
        return ""
    worst = list(last)[-1]
    return (
        f"The held-out loss rose from {last[best]:.2f} after {best} to {last[worst]:.2f} after {worst}: the later "
        f"stages cost the model some of what it had learned from its text. {best}/model still has it; a larger share "
        'of "text" in the mix of a later stage keeps more of it.'
    )


def _rate_words(rate: Results | str) -> str:
    if isinstance(rate, str):
        return rate
    share = rate.metrics["compiles@1"]
    return f"{share.value:.1%} (95 % interval {share.low:.1%} to {share.high:.1%})"


def _words(sample: VerifiedSample) -> str:
    counts = [f"{count} {status}" for status, count in sample.counts.items()]
    return "\n".join([*counts, f"({sample.external} need only crates or files that are not there)"])
