"""What a finished run tells: a completion, the losses, the compile rate, sizes; a table and `report.json`."""

import json
import shlex
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.table import Table
from rich.text import Text
from transformers import PreTrainedTokenizerFast

from evaluation.clean_process import complete_in_clean_process
from evaluation.device import inference_device
from evaluation.generate import Sampling
from evaluation.results import Interval, Results
from evaluation.run import Report, describe, run_programs
from evaluation.rust import RustVerifier, SandboxUnavailable, ToolchainUnavailable
from evaluation.scoring import GoldFailed, ScoringUnavailable
from evaluation.suites import compile_rate
from evaluation.suites.compile_rate import CompileRate
from evaluation.tables import plain_console, print_table
from model_cards.gguf.verify import Agreement
from modeling_nanochat import BitLinear, LoopLMForCausalLM
from recipes.pipeline.export import Exported
from recipes.pipeline.prepare import Prepared
from recipes.pipeline.pretrain import Pretrained
from recipes.pipeline.reinforce import Reinforced
from recipes.pipeline.report_page import write_page
from recipes.pipeline.schema import Recipe
from trainers.callbacks import NOTABLE_RISE
from trainers.data.verify import VerifiedSample
from trainers.stages import MaxRLStage, Stage

# Of a completion; most functions that are asked for are shorter.
EVALUATED_TOKENS = 96
console = plain_console()


def compile_rate_of(
    model: LoopLMForCausalLM, tokenizer: PreTrainedTokenizerFast, recipe: Recipe, path: Path
) -> Results | str:
    """The share of completions that compile, greedily drawn; or why it was not measured."""
    suite = CompileRate(compile_rate.read_problems()[: recipe.training.eval_prompts])
    folder = recipe.run_dir / "evaluation" / "report"
    # Of a model that is trained anew the samples are other ones.
    shutil.rmtree(folder, ignore_errors=True)
    sampling = Sampling(temperature=0, max_new_tokens=EVALUATED_TOKENS)
    context = Report(folder, describe(model, str(path)), shlex.join(["python", *sys.argv]))
    try:
        with RustVerifier() as verifier:
            suite.check_gold(verifier)
            return run_programs(suite, model.eval(), tokenizer, sampling, verifier, context)
    except (ToolchainUnavailable, SandboxUnavailable, ScoringUnavailable, GoldFailed, ValueError) as error:
        # ValueError: the prompts are longer than the model's positions.
        return f"not measured: {error}"


def file_sizes(folder: Path) -> dict[str, int]:
    """Bytes per file of a saved model, the code files taken together, and their sum."""
    sizes: dict[str, int] = {}
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        name = "model code (*.py)" if path.suffix == ".py" else path.name
        sizes[name] = sizes.get(name, 0) + path.stat().st_size
    return sizes | {"all files": sum(sizes.values())}


@dataclass(frozen=True)
class FinishedStages:
    """
    What the finished stages left, by the stages' names in their order.

    Attributes:
        text: Of those that read text.
        reinforced: Of those that practised.
    """

    text: dict[str, Pretrained]
    reinforced: dict[str, Reinforced]

    @classmethod
    def of_run(cls, recipe: Recipe) -> "FinishedStages":
        """Read from the run's folder."""
        found = cls({}, {})
        for stage in recipe.stages:
            path = recipe.stage_dir(stage) / "finished.json"
            if path.exists() and isinstance(stage, MaxRLStage):
                found.reinforced[stage.name] = Reinforced.read(path)
            elif path.exists():
                found.text[stage.name] = Pretrained.read(path)
        return found

    def held_out_loss(self, recipe: Recipe) -> dict[str, list[float]]:
        """After each loop, by stage in their order; of those that were measured."""
        every = self.text | self.reinforced
        losses = {stage.name: list(every[stage.name].held_out_loss) for stage in recipe.stages if stage.name in every}
        return {name: by_loop for name, by_loop in losses.items() if by_loop}

    @property
    def tokens(self) -> int:
        """Seen by all stages."""
        return sum(each.tokens for each in self.text.values())

    @property
    def tokens_per_second(self) -> float | None:
        """The speed of the stage with the most tokens."""
        return max(self.text.values(), key=lambda each: each.tokens).tokens_per_second


def report(recipe: Recipe, prepared: Prepared, last: Stage | MaxRLStage, exported: Exported) -> None:
    """Print a completion and the closing tables, and write `report.json` beside the stages."""
    folder, stages = recipe.stage_dir(last) / "model", FinishedStages.of_run(recipe)
    model = LoopLMForCausalLM.from_pretrained(folder).to(inference_device())
    verification = recipe.run_dir / "prepare" / "verification.json"
    sample = VerifiedSample(**json.loads(verification.read_text())) if recipe.data.verified_sample else None
    completion = complete_in_clean_process(folder, recipe.prompt, min_new_tokens=48)
    rate = None
    if recipe.training.eval_prompts:
        rate = compile_rate_of(model, prepared.tokenizer, recipe, folder)
    losses = stages.held_out_loss(recipe)
    results = {
        "recipe": recipe.name,
        "description": recipe.description,
        "last_stage": last.name,
        "verified_sample": sample and asdict(sample),
        "held_out_blocks": len(prepared.validation),
        "held_out_loss": losses,
        "compile_rate": rate.metrics["compiles@1"].value if isinstance(rate, Results) else rate,
        "reinforced": {name: asdict(each) for name, each in stages.reinforced.items()},
        "tokens_seen": stages.tokens,
        "tokens_per_second": stages.tokens_per_second,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "ternary_parameters": sum(m.weight.numel() for m in model.modules() if isinstance(m, BitLinear)),
        "file_sizes": file_sizes(folder),
        "export": _export_values(exported),
        "prompt": recipe.prompt,
        "completion": completion,
    }
    (recipe.run_dir / "report.json").write_text(json.dumps(results, indent=2) + "\n")
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
    for name, each in stages.reinforced.items():
        what = f"{each.tasks} held-out tasks x {each.samples}, {name}"
        table.add_row(f"{what}: completions that compile", _before_and_after(each.compiles))
        table.add_row(f"{what}: that solve them", _before_and_after(each.solved))
    table.add_row("tokens seen", f"{results['tokens_seen']:,}")
    speed = results["tokens_per_second"]
    table.add_row("speed, evaluations included", "not measured" if speed is None else f"{speed:,.0f} tokens/s")
    table.add_row("parameters", f"{results['parameters']:,}, of them ternary {results['ternary_parameters']:,}")
    table.add_row("blocks applied per token", f"{model.config.num_shared_layers} x {model.config.num_loops} loops")
    for name, size in results["file_sizes"].items():
        table.add_row(f"{last.name}/model: {name}", f"{size / 1e6:,.3f} MB")
    for name, size in results["export"]["file_sizes"].items():
        table.add_row(f"exported: {name}", f"{size / 1e6:,.3f} MB")
    if exported.problem is not None:
        table.add_row("not exported", Text(exported.problem))
    if exported.agreement is not None:
        table.add_row("llama.cpp and the model", _agreement_words(exported.agreement))
    print_table(console, table)
    console.print(
        f"Everything is in {recipe.run_dir}; {page} shows it with plots and samples", markup=False, soft_wrap=True
    )


def _loss_table(losses: dict[str, list[float]], prepared: Prepared) -> Table:
    """A line for each stage."""
    title = f"\nLoss on all {len(prepared.validation)} held-out blocks, in nats per token"
    table = Table("after stage", title=title, title_justify="left")
    for loop in range(1, 1 + max(map(len, losses.values()), default=0)):
        table.add_column(f"loop {loop}", justify="right")
    for name, by_loop in losses.items():
        table.add_row(name, *(f"{loss:.4f}" for loss in by_loop))
    return table


def _rise(losses: dict[str, list[float]]) -> str:
    """A warning that the last stage's model knows the held-out text less well than an earlier one; "" if not."""
    last = {name: by_loop[-1] for name, by_loop in losses.items()}
    best = min(last, key=last.get, default="")
    if not last or last[list(last)[-1]] <= last[best] + NOTABLE_RISE:
        return ""
    worst = list(last)[-1]
    return (
        f"The held-out loss rose from {last[best]:.2f} after {best} to {last[worst]:.2f} after {worst}: the later "
        f"stages cost the model some of what it had learned from its text. {best}/model still has it; a larger share "
        'of "text" in the mix of a later stage keeps more of it.'
    )


def _export_values(exported: Exported) -> dict:
    sizes = {}
    if exported.packed is not None:
        weights = exported.packed.glob("*.safetensors")
        sizes["packed weights"] = sum(file.stat().st_size for file in weights)
    if exported.gguf is not None:
        sizes[exported.gguf.path.name] = exported.gguf.nbytes
    agreement = exported.agreement
    compared = agreement and asdict(agreement) | {"path": agreement.path.name, "problems": agreement.problems}
    return {"file_sizes": sizes, "agreement": compared, "problem": exported.problem}


def _agreement_words(agreement: Agreement) -> str:
    texts = f"{agreement.texts - len(agreement.wrong_texts)} of {agreement.texts} texts have equal token ids"
    values = f"KL {agreement.kl:.1e} nats, likeliest token equal at {agreement.top1:.1%} of {agreement.positions}"
    return "\n".join([*(agreement.problems or ["agree"]), values, texts])


def _before_and_after(shares: tuple[Interval, Interval]) -> str:
    return " before, ".join(map(_share_words, shares)) + " after"


def _share_words(share: Interval) -> str:
    return f"{share.value:.1%} ({share.low:.1%} to {share.high:.1%})"


def _rate_words(rate: Results | str) -> str:
    if isinstance(rate, str):
        return rate
    share = rate.metrics["compiles@1"]
    return f"{share.value:.1%} (95 % interval {share.low:.1%} to {share.high:.1%})"


def _words(sample: VerifiedSample) -> str:
    counts = [f"{count} {status}" for status, count in sample.counts.items()]
    return "\n".join([*counts, f"({sample.external} need only crates or files that are not there)"])
