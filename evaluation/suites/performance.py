"""How fast a model reads a prompt and writes tokens, and the memory that takes, by batch and by depth."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from transformers import PreTrainedModel, StoppingCriteria, StoppingCriteriaList

from evaluation.generate import positions
from evaluation.progress import show_progress
from evaluation.results import Results, bootstrap
from modeling_nanochat import is_looplm

NAME = "performance_benchmarks"
EXIT_THRESHOLDS = (0.5, 0.8, 0.95)


@dataclass(frozen=True)
class Workload:
    """
    What is generated.

    Attributes:
        batch_sizes: Sequences at a time.
        prompt_tokens: Of each sequence.
        new_tokens: Written after the prompt; their speed is that of all but the first.
        rounds: Each setting is measured so often, in turns with the others.
        num_loops: Depths of a LoopLM; None takes every depth up to the configuration's.
        exit_thresholds: Of a LoopLM, measured at its greatest depth; None takes 0.5, 0.8 and 0.95.
    """

    batch_sizes: Sequence[int] = (1, 8)
    prompt_tokens: int = 128
    new_tokens: int = 32
    rounds: int = 3
    num_loops: Sequence[int] | None = None
    exit_thresholds: Sequence[float] | None = None

    def __post_init__(self):
        least = {"prompt_tokens": 1, "new_tokens": 2, "rounds": 1}
        for name, smallest in least.items():
            if getattr(self, name) < smallest:
                raise ValueError(f"{name} must be at least {smallest}, got {getattr(self, name)}")
        for name, values in (("batch_sizes", self.batch_sizes), ("num_loops", self.num_loops)):
            if values is not None and (not values or min(values) < 1):
                raise ValueError(f"{name} must be numbers of at least 1, got {list(values)}")
        if not all(0 < threshold < 1 for threshold in self.exit_thresholds or ()):
            raise ValueError(f"exit_thresholds must be above 0 and below 1, got {list(self.exit_thresholds)}")


@dataclass
class Speed:
    """
    One setting.

    Attributes:
        batch_size: Sequences at a time.
        num_loops: None for a model that has no loops.
        exit_threshold: None where all tokens run all loops.
        mean_loops: Of the tokens after the first; None for a model that has no loops.
        prompt_tokens_per_second: Of all sequences together, one value per round.
        decode_tokens_per_second: The same of the tokens after the first.
        peak_memory_bytes: Allocated on the GPU; on a processor, resident in the whole process; None where the system
            does not tell.
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
        """For `generate`, whatever the configuration says."""
        if self.num_loops is None:
            return {}
        if self.exit_threshold is None:
            return {"num_loops": self.num_loops, "exit_at_loop": self.num_loops}
        return {"num_loops": self.num_loops, "exit_threshold": self.exit_threshold}


class _Clock(StoppingCriteria):
    """Notes when each token is there; stops nothing."""

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
    """Whether the peak is counted anew from now on."""
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


def settings(model: PreTrainedModel, workload: Workload) -> list[Speed]:
    """
    What is to be measured of a model, without values.

    Raises:
        ValueError: Depths are asked of a model without loops, or the tokens exceed its positions.
    """
    depths: list[tuple[int | None, float | None]] = [(None, None)]
    if is_looplm(model.config):
        loops = workload.num_loops or range(1, model.config.num_loops + 1)
        thresholds = EXIT_THRESHOLDS if workload.exit_thresholds is None else workload.exit_thresholds
        depths = [(each, None) for each in loops] + [(max(loops), each) for each in thresholds]
    else:
        for name in ("num_loops", "exit_thresholds"):
            if getattr(workload, name) is not None:
                raise ValueError(f"{name} needs a LoopLM, got a model of type {model.config.model_type}")
    longest, length = positions(model), workload.prompt_tokens + workload.new_tokens
    if longest is not None and length > longest:
        raise ValueError(f"prompt_tokens and new_tokens must be at most the model's {longest} positions, got {length}")
    return [Speed(batch_size, *depth) for batch_size in workload.batch_sizes for depth in depths]


def measure(model: PreTrainedModel, workload: Workload, progress: bool = False) -> Results:
    """
    Prompt and decode speed and peak memory through `model.generate`, as users call it, for random tokens.

    Raises:
        ValueError: As `settings` does.
    """
    speeds = settings(model, workload)
    for speed in speeds:
        _generate(model, speed, workload)  # the first time allocates and, where it is used, compiles
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
    """Tokens per second of the prompts and of what is written after its first tokens."""
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
    return Results(NAME, {}, metrics, per_round, details=details)
