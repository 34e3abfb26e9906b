"""
Whether a model gives the program that compiles a higher probability than one that differs from it in one place.

Nothing is generated, so that models of any size can be measured. A pair counts 1 if the program that rustc accepts has
the higher log probability per token, and one half if both are equal. A template makes several pairs that are alike;
its value is the mean over them, and the accuracy is the mean over the templates, with intervals over the templates.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Self

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from evaluation.generate import depth_arguments, positions
from evaluation.likelihood import Likelihood, log_likelihoods, start_token, text_tokens
from evaluation.models.served_model import ServedModel, SuiteDoesNotFit
from evaluation.results import Interval, Results, share_difference, share_interval
from evaluation.settings import EvaluationSettings
from evaluation.suites.depth_descriptions import describe_early_exit, describe_kv_reuse
from evaluation.suites.semantic.pairs import CATEGORIES, MinimalPair, credit, read_pairs
from evaluation.suites.semantic.plot import plot_accuracy_by_loop
from evaluation.suites.suite import Suite, SuiteRun, in_memory
from modeling_nanochat import is_looplm

TRAINING_BATCH = 32
"""Pairs measured together in continuous evaluation, between two looks at the clock."""
Values = dict[str, float]
"""A value from 0 to 1 for each template."""


@dataclass(frozen=True)
class Semantic(Suite):
    """
    Minimal pairs of programs, compared by their probabilities.

    Attributes:
        pairs: In an order in which the first ones are of all categories and of many templates.
    """

    pairs: Sequence[MinimalPair]

    name = "semantic"
    benchmark = "semantic_correctness"
    title = "Minimal pairs of programs"
    unit = "templates"
    training_metric = benchmark

    @classmethod
    def load(cls, settings: EvaluationSettings) -> Self:
        return cls(spread(read_pairs())[: settings.limit])

    def check_model(self, model: PreTrainedModel | ServedModel, tokenizer: PreTrainedTokenizerBase | None) -> None:
        loaded, tokenizer = in_memory(model, tokenizer)
        start_token(tokenizer)
        if not self.fitting(loaded, tokenizer).pairs:
            raise SuiteDoesNotFit(
                f"{self.name} needs a context as long as a program, got {positions(loaded)} positions"
            )

    def run(self, run: SuiteRun) -> Results:
        generation = run.settings.generation
        model, tokenizer = run.loaded
        depth = depth_arguments(generation, model.config)
        suite = self.fitting(model, tokenizer)
        found = log_likelihoods(
            model,
            tokenizer,
            [program for pair in suite.pairs for program in (pair.valid, pair.invalid)],
            batch_size=generation.batch_size,
            progress=run.progress,
            **depth,
        )
        accepted, rejected = found[::2], found[1::2]
        results = results_of_pairs(suite.pairs, accepted, rejected, by_loop=is_looplm(model.config))
        more = {
            "differing_tokens": fmean(differing_tokens(tokenizer, pair) for pair in suite.pairs),
            "left_out": sorted({pair.name for pair in self.pairs} - {pair.name for pair in suite.pairs}),
        }
        return replace(results, details=dict(results.details) | more, settings=depth)

    def fitting(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Self:
        longest = positions(model)
        if longest is None:
            return self
        return replace(self, pairs=[pair for pair in self.pairs if _length(tokenizer, pair) <= longest])

    def measure_in_training(self, run: SuiteRun, deadline: float) -> Mapping[str, float]:
        credits: list[float] = []
        model, tokenizer = run.loaded
        for start in range(0, len(self.pairs), TRAINING_BATCH):
            if time.monotonic() >= deadline:
                break
            pairs = self.pairs[start : start + TRAINING_BATCH]
            programs = [program for pair in pairs for program in (pair.valid, pair.invalid)]
            found = log_likelihoods(model, tokenizer, programs, batch_size=run.settings.generation.batch_size)
            credits += [credit(per_token(*each)) for each in zip(found[::2], found[1::2], strict=True)]
        if not credits:
            return {}
        return {self.benchmark: fmean(credits), f"{self.benchmark}_of": len(credits)}

    @classmethod
    def has_shares(cls, results: Results) -> bool:
        return True

    @classmethod
    def extra_rows(cls, results: Results) -> Iterator[tuple[str, str, str]]:
        details = results.details
        yield "pairs", f"{details['num_pairs']:,}", "of two programs each"
        yield "differing tokens", f"{details['differing_tokens']:.1f}", "of a pair in the model's tokenizer, mean"
        if details["left_out"]:
            yield "left out", f"{len(details['left_out']):,}", "pairs longer than the model's context"
        if "loops" in details:
            yield "loops", f"{details['loops']:.3f}", "per token"
        if "last_loop_minus_loop_1" in details:
            gain = Interval(**details["last_loop_minus_loop_1"])
            yield "last loop minus loop 1", f"{gain.value:+.2%}", gain.limits("+.2%")

    @classmethod
    def plots(cls, results: Results, folder: Path) -> list[Path]:
        return [plot_accuracy_by_loop(results, folder)] if "by_loop" in results.details else []

    @classmethod
    def how_measured(cls, results: Results) -> str:
        words = f"{results.details['num_pairs']} pairs, log probability per token"
        threshold = results.settings.get("exit_threshold") or results.model.get("exit_threshold")
        if "loops" not in results.details:
            return words
        if threshold is not None and threshold < 1 and results.settings.get("exit_at_loop") is None:
            return f"{words}, {describe_early_exit(threshold, results.details['loops'])}{describe_kv_reuse(results)}"
        return f"{words}, {results.details['loops']:.0f} loops{describe_kv_reuse(results)}"

    @classmethod
    def index_metrics(cls, results: Results) -> Mapping[str, Interval]:
        """Return the accuracy over all categories."""
        return {"accuracy": results.metrics["accuracy"]}


def spread(pairs: Sequence[MinimalPair]) -> list[MinimalPair]:
    """
    Return the pairs in an order in which the first ones are of all categories and of many templates. The two forms of
    a template, which balance each other, stay together.
    """
    categories = list(CATEGORIES)
    turns = {category: 0 for category in categories}
    keys = {}
    for pair in sorted(pairs, key=lambda pair: int(pair.name.rsplit("/", 1)[1])):
        keys[pair.name] = (turns[pair.category], categories.index(pair.category))
        turns[pair.category] += 1
    return sorted(pairs, key=lambda pair: keys[pair.name])


def _length(tokenizer: PreTrainedTokenizerBase, pair: MinimalPair) -> int:
    return max(len(text_tokens(tokenizer, program)) for program in (pair.valid, pair.invalid))


def differing_tokens(tokenizer: PreTrainedTokenizerBase, pair: MinimalPair) -> int:
    """Return the number of tokens between the common beginning and end of the programs, in the one that has more."""
    first, second = (text_tokens(tokenizer, program) for program in (pair.valid, pair.invalid))
    shorter = min(len(first), len(second))
    same = next((index for index in range(shorter) if first[index] != second[index]), shorter)
    at_end = next(
        (index for index in range(shorter - same) if first[-1 - index] != second[-1 - index]), shorter - same
    )
    return max(len(first), len(second)) - same - at_end


def per_token(accepted: Likelihood, rejected: Likelihood, loop: int | None = None) -> float:
    """Return the log probability per token of the program that compiles, minus that of the other, in nats."""
    return _nats(accepted, loop) / accepted.tokens - _nats(rejected, loop) / rejected.tokens


def _nats(found: Likelihood, loop: int | None) -> float:
    return found.nats if loop is None else found.by_loop[loop]


def by_template(pairs: Sequence[MinimalPair], differences: Sequence[float]) -> Values:
    """Return for each template the share of its pairs with a difference above 0; ties count half."""
    found: dict[str, list[float]] = {}
    for pair, difference in zip(pairs, differences, strict=True):
        found.setdefault(pair.template, []).append(credit(difference))
    return {template: fmean(found[template]) for template in sorted(found)}


def results_of_pairs(
    pairs: Sequence[MinimalPair], accepted: Sequence[Likelihood], rejected: Sequence[Likelihood], by_loop: bool = False
) -> Results:
    """
    Return the accuracy over all templates and of each category, with intervals over the templates.

    `accuracy_total` compares log probabilities that are not divided by the number of tokens. Both programs begin with
    the same text, which cancels out there: it compares what follows the beginning. With `by_loop`, there are also the
    accuracy after each loop and, in the details, the same for each category and its change from loop 1 to the last.

    Args:
        pairs: At least one.
        accepted, rejected: Likelihoods of the two programs of each pair.
        by_loop: Whether the model is a LoopLM.
    """
    both = list(zip(accepted, rejected, strict=True))
    values = by_template(pairs, [per_token(*each) for each in both])
    per_problem: dict[str, Values] = {"accuracy": values}
    for category in CATEGORIES:
        per_problem[category] = _of_category(values, category)
    per_problem["accuracy_total"] = by_template(pairs, [good.nats - wrong.nats for good, wrong in both])
    details: dict = {
        "num_pairs": len(pairs),
        "pairs": {
            pair.name: {"nats": [good.nats, wrong.nats], "tokens": [good.tokens, wrong.tokens]}
            for pair, (good, wrong) in zip(pairs, both, strict=True)
        },
    }
    if by_loop:
        loops = [
            by_template(pairs, [per_token(*each, loop) for each in both]) for loop in range(len(accepted[0].by_loop))
        ]
        per_problem |= {f"accuracy_loop_{loop}": each for loop, each in enumerate(loops, start=1)}
        details["loops"] = fmean(each.loops for each in (*accepted, *rejected))
        details["by_loop"] = {
            name: [asdict(share_interval(list(_of_category(each, name).values()))) for each in loops]
            for name in ("", *CATEGORIES)
            if _of_category(values, name)
        }
        gains = [loops[-1][template] - loops[0][template] for template in values]
        details["last_loop_minus_loop_1"] = asdict(share_difference(gains))
    per_problem = {name: each for name, each in per_problem.items() if each}
    metrics = {name: share_interval(list(each.values())) for name, each in per_problem.items()}
    return Results(Semantic.benchmark, {}, metrics, per_problem, details=details, unit=Semantic.unit)


def _of_category(values: Values, category: str) -> Values:
    """Return the values of one category's templates; of all with an empty name."""
    return {template: value for template, value in values.items() if template.startswith(category)}
