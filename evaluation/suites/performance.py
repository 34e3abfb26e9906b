"""Speed of prompt processing and of decoding, and peak memory, by batch size and depth."""

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Self

import torch
from rich.table import Table
from transformers import PreTrainedModel, PreTrainedTokenizerBase, StoppingCriteria, StoppingCriteriaList

from evaluation.generate import positions
from evaluation.models.served_model import ServedModel, SuiteDoesNotFit
from evaluation.plots import plot_exit_speed
from evaluation.progress import show_progress
from evaluation.results import Interval, Results, bootstrap
from evaluation.settings import EvaluationSettings
from evaluation.suites.perplexity import Perplexity
from evaluation.suites.suite import Suite, SuiteRun
from modeling_nanochat import is_looplm

EXIT_THRESHOLDS = (0.5, 0.8, 0.95)


@dataclass(frozen=True)
class Workload:
    """
    What is generated to measure speed.

    Attributes:
        batch_sizes: Numbers of sequences that are generated together.
        prompt_tokens: Prompt tokens per sequence.
        new_tokens: Tokens generated per sequence; the decoding speed is that of all but the first.
        rounds: Number of measurements of each setting, which take turns.
        num_loops: Depths of a LoopLM; None for every depth up to the configuration's.
        exit_thresholds: Exit thresholds of a LoopLM, measured at its greatest depth; None for 0.5, 0.8 and 0.95.

    Raises:
        ValueError: A value is out of range.
    """

    batch_sizes: Sequence[int] = (1, 8)
    prompt_tokens: int = 128
    new_tokens: int = 32
    rounds: int = 3
    num_loops: Sequence[int] | None = None
    exit_thresholds: Sequence[float] | None = None

    def __post_init__(self):
        for name, value, smallest in (
            ("prompt_tokens", self.prompt_tokens, 1),
            ("new_tokens", self.new_tokens, 2),
            ("rounds", self.rounds, 1),
        ):
            if value < smallest:
                raise ValueError(f"{name} must be at least {smallest}, got {value}")
        for name, values in (("batch_sizes", self.batch_sizes), ("num_loops", self.num_loops)):
            if values is not None and (not values or min(values) < 1):
                raise ValueError(f"{name} must be numbers of at least 1, got {list(values)}")
        if not all(0 < threshold < 1 for threshold in self.exit_thresholds or ()):
            raise ValueError(f"exit_thresholds must be above 0 and below 1, got {list(self.exit_thresholds)}")


@dataclass
class Speed:
    """
    Measurements of one setting.

    Attributes:
        batch_size: Sequences that are generated together.
        num_loops: None for a model without loops.
        exit_threshold: None if all tokens run all loops.
        mean_loops: Loops per generated token, without the first; None for a model without loops.
        prompt_tokens_per_second: For all sequences together, one value per round.
        decode_tokens_per_second: The same for the generated tokens after the first.
        peak_memory_bytes: Memory allocated on the GPU, or without one the resident memory of the process; None if the
            system does not report it.
    """

    batch_size: int
    num_loops: int | None
    exit_threshold: float | None = None
    mean_loops: float | None = None
    prompt_tokens_per_second: list[float] = field(default_factory=list)
    decode_tokens_per_second: list[float] = field(default_factory=list)
    peak_memory_bytes: int | None = None

    def __str__(self) -> str:
        loops = "" if self.num_loops is None else f", {self.num_loops} loops"
        leaving = "" if self.exit_threshold is None else f", exit at {self.exit_threshold:g}"
        return f"batch {self.batch_size}{loops}{leaving}"

    def depth(self) -> dict[str, float]:
        """Return the arguments for `generate` that set this depth, whatever the configuration says."""
        if self.num_loops is None:
            return {}
        if self.exit_threshold is None:
            return {"num_loops": self.num_loops, "exit_at_loop": self.num_loops}
        return {"num_loops": self.num_loops, "exit_threshold": self.exit_threshold}


@dataclass(frozen=True)
class Performance(Suite):
    """Speed and memory of a model."""

    workload: Workload

    name = "performance"
    benchmark = "performance_benchmarks"
    title = "Speed and memory"
    unit = "rounds"
    in_quality_table = False

    @classmethod
    def load(cls, settings: EvaluationSettings) -> Self:
        generation = settings.generation
        depth = generation.num_loops if generation.exit_at_loop is None else generation.exit_at_loop
        thresholds = settings.exit_thresholds
        if thresholds is None and generation.exit_threshold is not None:
            thresholds = [generation.exit_threshold] if generation.exit_threshold < 1 else []
        return cls(
            Workload(
                settings.batch_sizes,
                settings.prompt_tokens,
                settings.new_tokens,
                settings.rounds,
                None if depth is None else [depth],
                thresholds,
            )
        )

    def check_model(self, model: PreTrainedModel | ServedModel, tokenizer: PreTrainedTokenizerBase | None) -> None:
        if isinstance(model, ServedModel):
            raise SuiteDoesNotFit(
                f"{self.name} times `generate` of Transformers, in which {model.name} does not run: it needs the "
                "folder of a saved model or a Hub name"
            )
        speeds_to_measure(model, self.workload)

    def run(self, run: SuiteRun) -> Results:
        model, _ = run.loaded
        return replace(measure(model, self.workload, run.progress), settings=asdict(self.workload))

    @classmethod
    def table(cls, results: Results) -> Table:
        """Return the medians of the rounds for each setting."""
        table = Table(title=cls.table_title(results))
        for column in ("batch", "exit at", "loops", "prompt tokens/s", "decode tokens/s", "peak memory"):
            table.add_column(column, justify="right")
        for speed in results.details["speeds"]:
            peak, exits = speed["peak_memory_bytes"], speed["exit_threshold"] is not None
            table.add_row(
                str(speed["batch_size"]),
                f"{speed['exit_threshold']:g}" if exits else "",
                f"{speed['mean_loops']:.2f}" if exits else str(speed["num_loops"] or "none"),
                f"{statistics.median(speed['prompt_tokens_per_second']):,.1f}",
                f"{statistics.median(speed['decode_tokens_per_second']):,.1f}",
                "not measured" if peak is None else f"{peak / 2**20:,.0f} MiB",
            )
        return table

    @classmethod
    def table_title(cls, results: Results) -> str:
        """Return what was generated by which model, and below it where."""
        details, settings = results.details, results.settings
        threads = f"{details['threads']} thread{'' if details['threads'] == 1 else 's'}"
        return (
            f"{results.benchmark}, {settings['prompt_tokens']} + {settings['new_tokens']} tokens, "
            f"{results.model['path']}\n{details['device']}, {details['dtype']}, {threads}"
        )

    @classmethod
    def plots(cls, results: Results, folder: Path) -> list[Path]:
        """Draw speed by exit threshold, and against the loss if the model's perplexity is in `folder`."""
        if all(speed["exit_threshold"] is None for speed in results.details["speeds"]):
            return []
        path = folder / f"{Perplexity.benchmark}.json"
        return [plot_exit_speed(results, folder, Results.read(path) if path.exists() else None)]

    @classmethod
    def index_metrics(cls, results: Results) -> Mapping[str, Interval]:
        """Return nothing: a speed belongs to a machine as much as to the model."""
        return {}


class _Clock(StoppingCriteria):
    """Record the time of each token; never stop."""

    def __init__(self):
        self.seconds: list[float] = []

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor, **kwargs) -> torch.BoolTensor:
        self.seconds.append(_now(input_ids.device))
        return torch.zeros(input_ids.shape[0], dtype=torch.bool, device=input_ids.device)


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _forget_peak(device: torch.device) -> bool:
    """Restart the measurement of the peak; return whether the system can."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return True
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _peak(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def speeds_to_measure(model: PreTrainedModel, workload: Workload) -> list[Speed]:
    """
    Return the settings to measure on a model, without values yet.

    Raises:
        ValueError: Depths are given for a model without loops, or the tokens exceed its context.
    """
    depths: list[tuple[int | None, float | None]] = [(None, None)]
    if is_looplm(model.config):
        loops = workload.num_loops or range(1, model.config.num_loops + 1)
        thresholds = EXIT_THRESHOLDS if workload.exit_thresholds is None else workload.exit_thresholds
        depths = [(each, None) for each in loops] + [(max(loops), each) for each in thresholds]
    else:
        for name, value in (("num_loops", workload.num_loops), ("exit_thresholds", workload.exit_thresholds)):
            if value is not None:
                raise ValueError(f"{name} needs a LoopLM, got a model of type {model.config.model_type}")
    longest, length = positions(model), workload.prompt_tokens + workload.new_tokens
    if longest is not None and length > longest:
        raise ValueError(f"prompt_tokens and new_tokens must be at most the model's {longest} positions, got {length}")
    return [Speed(batch_size, *depth) for batch_size in workload.batch_sizes for depth in depths]


def measure(model: PreTrainedModel, workload: Workload, progress: bool = False) -> Results:
    """
    Measure prompt speed, decoding speed and peak memory of `model.generate` on random tokens.

    Raises:
        ValueError: See `speeds_to_measure`.
    """
    speeds = speeds_to_measure(model, workload)
    for speed in speeds:
        _generate(model, speed, workload)  # warm-up: the first call allocates and may compile
    with show_progress("Speed", workload.rounds * len(speeds), "measurements", shown=progress) as advance:
        for _ in range(workload.rounds):
            for speed in speeds:
                known = _forget_peak(model.device)
                prompt, decode = _generate(model, speed, workload)
                speed.prompt_tokens_per_second.append(prompt)
                speed.decode_tokens_per_second.append(decode)
                if known:
                    speed.peak_memory_bytes = max(speed.peak_memory_bytes or 0, _peak(model.device))
                advance(1)
    return _results(speeds, model)


@torch.no_grad()
def _generate(model: PreTrainedModel, speed: Speed, workload: Workload) -> tuple[float, float]:
    """Return tokens per second of the prompts, and of the generated tokens after the first of each sequence."""
    generator = torch.Generator().manual_seed(0)
    shape = (speed.batch_size, workload.prompt_tokens)
    tokens = torch.randint(model.get_input_embeddings().num_embeddings, shape, generator=generator).to(model.device)
    clock = _Clock()
    started = _now(model.device)
    output = model.generate(
        tokens,
        attention_mask=torch.ones_like(tokens),
        do_sample=False,
        pad_token_id=0,
        max_new_tokens=workload.new_tokens,
        min_new_tokens=workload.new_tokens,
        stopping_criteria=StoppingCriteriaList([clock]),
        return_dict_in_generate=True,
        **speed.depth(),
    )
    assert len(clock.seconds) == workload.new_tokens
    if speed.num_loops is not None:
        speed.mean_loops = float(output.loops_used[:, 1:].float().mean())
    first, last = clock.seconds[0], clock.seconds[-1]
    return tokens.numel() / (first - started), speed.batch_size * (workload.new_tokens - 1) / (last - first)


def _results(speeds: Sequence[Speed], model: PreTrainedModel) -> Results:
    per_round = {
        f"{kind}, {speed}": {f"round {index}": value for index, value in enumerate(values, start=1)}
        for speed in speeds
        for kind, values in (
            ("prompt tokens/s", speed.prompt_tokens_per_second),
            ("decode tokens/s", speed.decode_tokens_per_second),
        )
    }
    metrics = {name: bootstrap(list(values.values())) for name, values in per_round.items()}
    device = torch.cuda.get_device_name(model.device) if model.device.type == "cuda" else model.device.type
    details = {
        "speeds": [asdict(speed) for speed in speeds],
        "device": device,
        "threads": torch.get_num_threads(),
        "dtype": str(model.dtype).removeprefix("torch."),
    }
    return Results(Performance.benchmark, {}, metrics, per_round, details=details, unit=Performance.unit)
