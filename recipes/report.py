"""What a finished run tells: a completion, the losses, the compile rate, sizes; a table and `report.json`."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text
from transformers import PreTrainedTokenizerFast

from evaluation.device import inference_device
from evaluation.generate import Sampling
from evaluation.results import Interval, Results
from evaluation.run import Report, describe, run_programs
from evaluation.rust import RustVerifier, SandboxUnavailable, ToolchainUnavailable
from evaluation.scoring import GoldFailed, ScoringUnavailable
from evaluation.suites import compile_rate
from evaluation.suites.compile_rate import CompileRate
from evaluation.suites.perplexity import loss_by_depth
from model_cards.gguf_verify import Agreement
from modeling_nanochat import BitLinear, LoopLMForCausalLM
from recipes.export import Exported
from recipes.prepare import Prepared
from recipes.reinforce import Reinforced
from recipes.schema import Recipe
from trainers.data.verify import VerifiedSample
from trainers.stages import MaxRLStage, Stage

# Of a completion; most functions that are asked for are shorter.
EVALUATED_TOKENS = 96
console = Console(highlight=False)


@dataclass(frozen=True)
class Pretrained:
    """
    Result of the second stage.

    Attributes:
        model: The trained model.
        folder: Where it is saved.
        tokens: Tokens seen in training.
        tokens_per_second: Of the training loop since its last start; None when no step was left to do.
    """

    model: LoopLMForCausalLM
    folder: Path
    tokens: int
    tokens_per_second: float | None


def complete_in_clean_process(folder: Path, prompt: str) -> str:
    """Continue `prompt` in a new process that loads the folder by its own code, offline; raises if that fails."""
    script = Path(__file__).with_name("complete.py")
    finished = subprocess.run(
        [sys.executable, "-W", "ignore", str(script), str(folder), "--prompt", prompt, "--min-new-tokens", "48"],
        env=os.environ | {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if finished.returncode != 0:
        raise RuntimeError(f"the saved model in {folder} does not load in a clean process:\n{finished.stderr}")
    return finished.stdout.rstrip("\n")


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


def last_text_stage(recipe: Recipe) -> Stage:
    """The last finished stage that reads what the held-out texts are of; one with a mix of its own does not."""
    finished = [stage for stage in recipe.text_stages if (recipe.stage_dir(stage) / "finished.json").exists()]
    return [stage for stage in finished if stage.mix is None][-1]


def read_text(recipe: Recipe) -> LoopLMForCausalLM:
    """The model of that stage."""
    folder = recipe.stage_dir(last_text_stage(recipe)) / "model"
    return LoopLMForCausalLM.from_pretrained(folder).to(inference_device())


def report(recipe: Recipe, prepared: Prepared, pretrained: Pretrained, exported: Exported) -> None:
    """Print a completion and the closing table, and write `report.json` beside the stages."""
    model = pretrained.model.to(inference_device())
    verification = recipe.run_dir / "prepare" / "verification.json"
    sample = VerifiedSample(**json.loads(verification.read_text())) if recipe.data.verified_sample else None
    completion = complete_in_clean_process(pretrained.folder, recipe.prompt)
    rate = None
    if recipe.training.eval_prompts:
        rate = compile_rate_of(model, prepared.tokenizer, recipe, pretrained.folder)
    reinforced = {
        stage.name: Reinforced.read(recipe.stage_dir(stage) / "finished.json")
        for stage in recipe.stages
        if isinstance(stage, MaxRLStage) and (recipe.stage_dir(stage) / "finished.json").exists()
    }
    results = {
        "recipe": recipe.name,
        "verified_sample": sample and asdict(sample),
        "loss_by_depth": loss_by_depth(read_text(recipe), prepared.validation),
        "compile_rate": rate.metrics["compiles@1"].value if isinstance(rate, Results) else rate,
        "reinforced": {name: asdict(each) for name, each in reinforced.items()},
        "tokens_seen": pretrained.tokens,
        "tokens_per_second": pretrained.tokens_per_second,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "ternary_parameters": sum(m.weight.numel() for m in model.modules() if isinstance(m, BitLinear)),
        "file_sizes": file_sizes(pretrained.folder),
        "export": _export_values(exported),
        "prompt": recipe.prompt,
        "completion": completion,
    }
    (recipe.run_dir / "report.json").write_text(json.dumps(results, indent=2) + "\n")

    console.print("\nReloaded in a clean process with trust_remote_code, the model continues:\n")
    console.print(completion, markup=False, soft_wrap=True)
    table = Table(title=f"\n{recipe.name}: {recipe.description}", show_header=False, title_justify="left")
    if sample is not None:
        total = sum(sample.counts.values())
        table.add_row(f"rustc on {total} of {sample.texts:,} texts", sample.problem or _words(sample))
    stage = "" if len(recipe.stages) == 1 else f"after {last_text_stage(recipe).name}, "
    for loop, loss in enumerate(results["loss_by_depth"], start=1):
        table.add_row(f"validation loss {stage}loop {loop}", f"{loss:.4f} nats per token")
    if rate is not None:
        table.add_row(f"completions that compile, of {recipe.training.eval_prompts}", _rate_words(rate))
    for name, each in reinforced.items():
        what = f"{each.tasks} held-out tasks x {each.samples}, {name}"
        table.add_row(f"{what}: completions that compile", "{:.1%} before, {:.1%} after".format(*each.compiles))
        table.add_row(f"{what}: that solve them", " before, ".join(map(_share_words, each.solved)) + " after")
    table.add_row("tokens seen", f"{pretrained.tokens:,}")
    speed = pretrained.tokens_per_second
    table.add_row("speed, evaluations included", "not measured" if speed is None else f"{speed:,.0f} tokens/s")
    table.add_row("parameters", f"{results['parameters']:,}, of them ternary {results['ternary_parameters']:,}")
    table.add_row("blocks applied per token", f"{model.config.num_shared_layers} x {model.config.num_loops} loops")
    for name, size in results["file_sizes"].items():
        table.add_row(name, f"{size / 1e6:,.3f} MB")
    for name, size in results["export"]["file_sizes"].items():
        table.add_row(f"exported: {name}", f"{size / 1e6:,.3f} MB")
    if exported.problem is not None:
        table.add_row("not exported", Text(exported.problem))
    if exported.agreement is not None:
        table.add_row("llama.cpp and the model", _agreement_words(exported.agreement))
    console.print(table)
    console.print(f"Everything is in {recipe.run_dir}")


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
