"""Perplexity of a model on text: bits per byte after every loop, and with early exit."""

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Self

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from evaluation.generate import depth_arguments, positions
from evaluation.likelihood import decoding_threshold, padded, start_token, text_tokens
from evaluation.loss_by_depth import DepthPoint, ExitSums, decoded_losses, evaluation_mode, token_losses
from evaluation.models.served_model import ServedModel
from evaluation.plots import plot_depth_quality
from evaluation.progress import show_progress
from evaluation.results import Interval, Results, bootstrap
from evaluation.rust_files import rust_files
from evaluation.settings import EvaluationSettings
from evaluation.suites.depth_descriptions import describe_early_exit, describe_kv_reuse
from evaluation.suites.problem_files import ProblemsMissing, text_in
from evaluation.suites.suite import Suite, SuiteRun, in_memory
from evaluation.text_files import read_text
from modeling_nanochat import is_looplm

THRESHOLDS = tuple(index / 20 for index in range(1, 21))


@dataclass(frozen=True)
class Perplexity(Suite):
    """
    Bits per byte of texts.

    Attributes:
        texts: By name.
        window: Tokens that are looked at together.
        source: Where the texts were read.
    """

    texts: Mapping[str, str]
    window: int = 512
    source: Path | None = None

    name = "perplexity"
    benchmark = "perplexity"
    title = "Bits per byte of text"
    unit = "texts"

    @classmethod
    def load(cls, settings: EvaluationSettings) -> Self:
        if settings.text is None:
            raise ProblemsMissing("the perplexity needs text: give .rs files or JSON lines with --text")
        texts = dict(islice(read_texts(settings.text).items(), settings.limit))
        return cls(texts, settings.window, settings.text)

    def check_model(self, model: PreTrainedModel | ServedModel, tokenizer: PreTrainedTokenizerBase | None) -> None:
        in_memory(model, tokenizer)

    def run(self, run: SuiteRun) -> Results:
        generation = run.settings.generation
        model, tokenizer = run.loaded
        window = min(self.window, positions(model) or self.window)
        found = score_texts(
            model,
            tokenizer,
            self.texts,
            window,
            batch_size=generation.batch_size,
            progress=run.progress,
            **generation.depth,
        )
        settings = {"window": window, "text": str(self.source)} | depth_arguments(generation, model.config)
        return replace(found, settings=settings)

    @classmethod
    def extra_rows(cls, results: Results) -> Iterator[tuple[str, str, str]]:
        for loop, value in enumerate(results.details.get("perplexity_by_loop", ()), start=1):
            loops = f", loop {loop}" if "num_loops" in results.model else ""
            yield f"perplexity{loops}", f"{value:.3f}", "per token"
        if "decoded" in results.details:
            decoded = results.details["decoded"]
            yield f"loops, exit at {decoded['threshold']:g}", f"{decoded['mean_loops']:.3f}", "per token, decoded"

    @classmethod
    def plots(cls, results: Results, folder: Path) -> list[Path]:
        return [plot_depth_quality(results, folder)] if "depth_quality" in results.details else []

    @classmethod
    def how_measured(cls, results: Results) -> str:
        loops = len(results.details["perplexity_by_loop"])
        settings = results.settings
        words = f"windows of {settings['window']} tokens of {Path(settings['text']).name}"
        if "num_loops" in results.model:
            words += f", {loops} loop{'s' if loops > 1 else ''}"
        decoded = results.details.get("decoded")
        if decoded is None:
            return words
        exits = describe_early_exit(decoded["threshold"], decoded["mean_loops"])
        return f"{words}; without a loop in its name decoded, {exits}{describe_kv_reuse(results)}"

    @classmethod
    def index_metrics(cls, results: Results) -> Mapping[str, Interval]:
        """Return the bits per byte of the model as it is configured, without those of its single loops."""
        return {"bits_per_byte": results.metrics["bits_per_byte"]}


def differences_to_loop_1(nats: Mapping[str, torch.Tensor], lengths: Mapping[str, int]) -> list[Interval]:
    """
    Return the loss after each loop minus that after loop 1, in nats per token, with intervals over the texts. The
    differences are paired: that some texts are harder than others does not widen the intervals.

    Args:
        nats: For each text its summed loss after each loop, (loops,).
        lengths: For each text its number of tokens.
    """
    sums, tokens = torch.stack(list(nats.values())), torch.tensor([lengths[name] for name in nats])
    intervals = []
    for differences in (sums - sums[:, :1]).t():
        mean = differences.sum() / tokens.sum()
        # The linearized ratio estimator: their mean is the mean over tokens, and they vary with the lengths, too.
        per_text = mean + (differences - mean * tokens) / tokens.double().mean()
        intervals.append(bootstrap(per_text.tolist()))
    return intervals


def read_texts(path: Path) -> dict[str, str]:
    """
    Read texts by name: the .rs files of a folder (see `rust_files`), one such file, or the column `code` of a .jsonl
    or .jsonl.gz file.

    Raises:
        ValueError: There are none, or a file, which is named, cannot be read or is not UTF-8.
    """
    if not path.exists():
        raise ValueError(f"text must be .rs files or JSON lines with a column code, got {path}, which does not exist")
    if path.is_dir():
        files = rust_files(path)
        texts = {file.relative_to(path).as_posix(): read_text(file) for file in files.paths}
        if files.left_out:
            print(f"{path}: {len(texts):,} files read; left out: {files}")
    elif path.suffix == ".rs":
        texts = {path.name: read_text(path)}
    else:
        texts = dict(_code_column(path))
    texts = {name: text for name, text in texts.items() if text.strip()}
    if not texts:
        raise ValueError(f"text must be .rs files or JSON lines with a column code, got none in {path}")
    return texts


def _code_column(path: Path) -> Iterator[tuple[str, str]]:
    # Not `splitlines`, which also splits at characters that JSON leaves unescaped.
    for index, line in enumerate(read_text(path).split("\n")):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            yield f"{row.get('id', 'row')} {index}", text_in(row, "code")
        except (ValueError, AttributeError) as error:
            raise ValueError(
                f"text must be .rs files or JSON lines with a column code, got {path}, line {index + 1}: {error}"
            ) from error


def score_texts(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Mapping[str, str],
    window: int,
    num_loops: int | None = None,
    batch_size: int = 4,
    progress: bool = True,
    exit_at_loop: int | None = None,
    exit_threshold: float | None = None,
) -> Results:
    """
    Measure bits per byte after each loop, a mean over the texts, which is comparable between tokenizers. Every token
    is predicted once, from the tokens before it in its window, which begins with a start token or a token of overlap.

    `details` has the perplexity per token after each loop. For a LoopLM it also has the depth-quality curve: loss and
    mean loops for a sweep of exit thresholds, computed from one pass through all loops, and the loss after each loop
    minus that after loop 1, with intervals over the texts. With an exit threshold below 1, given or configured, or
    with `kv_reuse="last"`, `bits_per_byte` is measured as in decoding, and `decoded` is that point of the curve.

    Raises:
        ValueError: The window is below 2, or depth settings are given for a model without loops.
    """
    if window < 2:
        raise ValueError(f"window must be at least 2 tokens, got {window}")
    is_loop_model = is_looplm(model.config)
    threshold = decoding_threshold(model, num_loops, exit_at_loop, exit_threshold)
    start = start_token(tokenizer)
    pieces: list[tuple[str, list[int]]] = []
    for name, text in texts.items():
        tokens = text_tokens(tokenizer, text)
        pieces += [(name, tokens[at : at + window]) for at in range(0, len(tokens) - 1, window - 1)]
    sums, nats = ExitSums(THRESHOLDS), {name: torch.zeros(1, dtype=torch.float64) for name in texts}
    decoded_nats, decoded_loops = dict.fromkeys(texts, 0.0), 0.0
    with evaluation_mode(model), show_progress("Perplexity", len(pieces), "windows", shown=progress) as advance:
        for at in range(0, len(pieces), batch_size):
            batch = pieces[at : at + batch_size]
            input_ids, labels = padded([tokens for _, tokens in batch], start, model.device)
            losses, exit_pdf = token_losses(model, input_ids, labels, num_loops, exit_at_loop)
            sums.add(losses, exit_pdf)
            lengths = [len(tokens) - 1 for _, tokens in batch]
            for (name, _), part in zip(batch, losses.double().split(lengths, dim=1), strict=True):
                nats[name] = nats[name] + part.sum(dim=1).cpu()
            if threshold is not None:
                losses, loops = decoded_losses(model, input_ids, labels, num_loops, exit_threshold, exit_at_loop)
                decoded_loops += float(loops.sum())
                for (name, _), part in zip(batch, losses.double().split(lengths), strict=True):
                    decoded_nats[name] += float(part.sum())
            advance(len(batch))
    bits = {name: value / math.log(2) / len(texts[name].encode()) for name, value in nats.items()}
    loops = len(next(iter(bits.values())))
    headline = {name: float(each[-1]) for name, each in bits.items()}
    if threshold is not None:
        headline = {name: value / math.log(2) / len(texts[name].encode()) for name, value in decoded_nats.items()}
    per_problem = {"bits_per_byte": headline}
    if is_loop_model:
        per_problem |= {
            f"bits_per_byte_loop_{loop + 1}": {name: float(each[loop]) for name, each in bits.items()}
            for loop in range(loops)
        }
    total = sum(nats.values())
    details: dict = {"perplexity_by_loop": (total / sums.tokens).exp().tolist(), "tokens": sums.tokens}
    if is_loop_model:
        details["depth_quality"] = [asdict(point) for point in sums.points()]
        lengths = Counter()
        for name, tokens in pieces:
            lengths[name] += len(tokens) - 1
        details["loss_minus_loop_1"] = [asdict(each) for each in differences_to_loop_1(nats, lengths)]
    if threshold is not None:
        point = DepthPoint(threshold, decoded_loops / sums.tokens, sum(decoded_nats.values()) / sums.tokens)
        details["decoded"] = asdict(point)
    metrics = {name: bootstrap(list(values.values())) for name, values in per_problem.items()}
    return Results(Perplexity.benchmark, {}, metrics, per_problem, details=details, unit=Perplexity.unit)
