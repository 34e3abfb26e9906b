"""Loss of a model on held-out text, after every loop and where its exit gate leaves."""

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from datasets import Dataset
from torch.nn import functional as F
from torch.utils.data import DataLoader
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

from evaluation.progress import show_progress
from evaluation.results import Interval, Results, bootstrap
from evaluation.rust_files import rust_files
from evaluation.suites.rows import text_in
from evaluation.text_files import read_text
from modeling_nanochat import LoopLMForCausalLM, is_looplm
from modeling_nanochat.exit_nanochat import depth_to_run, exit_loops
from modeling_nanochat.loss_nanochat import IGNORE_INDEX, chunked_cross_entropy

NAME = "perplexity"
THRESHOLDS = tuple(index / 20 for index in range(1, 21))


@dataclass(frozen=True)
class DepthPoint:
    """
    Quality at one exit threshold.

    Attributes:
        threshold: A token leaves after the first loop at which its exit distribution sums to this much.
        mean_loops: Loops per token.
        loss: Cross-entropy in nats per token of the predictions at the loops where the tokens leave.
    """

    threshold: float
    mean_loops: float
    loss: float


@torch.no_grad()
def _token_losses(
    model: PreTrainedModel,
    input_ids: torch.Tensor,
    labels: torch.Tensor,
    num_loops: int | None = None,
    exit_at_loop: int | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """
    From one pass at full depth, or the fixed depth that is asked for.

    Args:
        model: A LoopLM, or any other causal language model, which has one loop.
        input_ids: (batch, seq).
        labels: (batch, seq), the token that follows each; -100 is left out.

    Returns:
        (loops, tokens) cross-entropies in nats and the (tokens, loops) exit distribution, of the tokens with a label.
    """
    labels = labels.flatten()
    valid = labels != IGNORE_INDEX
    if not is_looplm(model.config):
        logits = model(input_ids, use_cache=False).logits.flatten(0, 1)[valid]
        losses = F.cross_entropy(logits.float(), labels[valid], reduction="none")[None]
        return losses, torch.ones_like(losses.t())
    output = model(
        input_ids,
        use_cache=False,
        return_logits=False,
        output_loop_states=True,
        num_loops=num_loops,
        exit_at_loop=exit_at_loop,
    )
    states = torch.stack([state.flatten(0, 1)[valid] for state in output.loop_hidden_states])
    return _cross_entropies(model, states, labels[valid]), output.exit_pdf.flatten(0, 1)[valid]


def _cross_entropies(model: LoopLMForCausalLM, states: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """In nats, of (loops, tokens, hidden) against (tokens,): (loops, tokens)."""
    weights = torch.ones(states.shape[:2], device=states.device)
    return chunked_cross_entropy(states, model.lm_head, labels, weights)[1]


@torch.no_grad()
def decoded_losses(
    model: LoopLMForCausalLM,
    input_ids: torch.Tensor,
    labels: torch.Tensor,
    num_loops: int | None = None,
    exit_threshold: float | None = None,
    exit_at_loop: int | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Of texts as if each token were decoded after the one before it: the first is the prompt, and what a token leaves in
    the cache is what later ones find there.

    Args:
        model: In evaluation mode.
        input_ids: (batch, seq).
        labels: (batch, seq), the token that follows each; -100 is left out.
        num_loops, exit_threshold, exit_at_loop: None takes the configuration's.

    Returns:
        (tokens,) cross-entropies in nats and (tokens,) loops, of the tokens with a label.
    """
    cache = DynamicCache(config=model.config)
    # Tokens of one pass leave as if they came one by one; but they see each other in the same loop, and with
    # `kv_reuse="last"` a later token is to see the last one's.
    step = 1 if model.config.kv_reuse == "last" else max(1, input_ids.shape[1] - 1)
    states, loops = [], []
    for piece in (input_ids[:, :1], *input_ids[:, 1:].split(step, dim=1)):
        if piece.shape[1] == 0:
            continue
        output = model(
            piece,
            past_key_values=cache,
            use_cache=True,
            return_logits=False,
            output_loop_states=True,
            num_loops=num_loops,
            exit_threshold=exit_threshold,
            exit_at_loop=exit_at_loop,
        )
        states.append(output.loop_hidden_states[-1])
        loops.append(output.loops_used)
    labels = labels.flatten()
    valid = labels != IGNORE_INDEX
    losses = _cross_entropies(model, torch.cat(states, dim=1).flatten(0, 1)[valid][None], labels[valid])
    return losses[0], torch.cat(loops, dim=1).flatten()[valid]


@contextmanager
def _measuring(model: PreTrainedModel) -> Iterator[None]:
    """In evaluation mode, quantised weights kept; left as it was."""
    was_training = model.training
    model.eval()
    try:
        with model.get_decoder().cached_weights() if is_looplm(model.config) else nullcontext():
            yield
    finally:
        model.train(was_training)


def _losses_and_exits(
    model: LoopLMForCausalLM, blocks: Dataset, num_loops: int | None, batch_size: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """[`_token_losses`] of each batch of blocks."""
    if len(blocks) == 0:
        raise ValueError("blocks must hold at least one row to measure a loss, got none")
    # A generator of its own: a loader draws from the global one even when it does not shuffle, and a training in whose
    # middle this is called must not depend on it.
    loader = DataLoader(blocks.with_format("torch"), batch_size=batch_size, generator=torch.Generator())
    with _measuring(model), show_progress("Loss by depth", len(blocks), "blocks") as advance:
        for batch in loader:
            input_ids = batch["input_ids"].to(model.device, torch.long)
            labels = F.pad(input_ids[:, 1:], (0, 1), value=IGNORE_INDEX)
            yield _token_losses(model, input_ids, labels, num_loops)
            advance(len(input_ids))


def loss_by_depth(
    model: LoopLMForCausalLM, blocks: Dataset, num_loops: int | None = None, batch_size: int = 8
) -> list[float]:
    """
    Mean cross-entropy in nats per token when the prediction is read after loop 1, 2, ...; from one pass at full depth.

    Args:
        model: In any mode; it is left as it was.
        blocks: Column `input_ids`, all rows of one length.
        num_loops: Loops to run, None for the configuration's.
        batch_size: Rows per forward pass.

    Raises:
        ValueError: There are no blocks.
    """
    total, tokens = 0.0, 0
    for losses, _ in _losses_and_exits(model, blocks, num_loops, batch_size):
        total = total + losses.double().sum(dim=1).cpu()
        tokens += losses.shape[1]
    return (total / tokens).tolist()


def depth_quality(
    model: LoopLMForCausalLM, blocks: Dataset, thresholds: Sequence[float], batch_size: int = 8
) -> list[DepthPoint]:
    """
    Loss against loops per token for each threshold, from one pass at full depth.

    Raises:
        ValueError: There are no blocks.
    """
    sums = _ExitSums(thresholds)
    for losses, exit_pdf in _losses_and_exits(model, blocks, None, batch_size):
        sums.add(losses, exit_pdf)
    return sums.points()


class _ExitSums:
    """Loss and loops at each threshold, summed over tokens."""

    def __init__(self, thresholds: Sequence[float]):
        self.thresholds = thresholds
        self.sums = torch.zeros(len(thresholds), 2, dtype=torch.float64)
        self.tokens = 0

    def add(self, losses: torch.Tensor, exit_pdf: torch.Tensor) -> None:
        """(loops, tokens) and (tokens, loops)."""
        for index, threshold in enumerate(self.thresholds):
            loops = exit_loops(exit_pdf, threshold)
            chosen = losses.gather(0, loops[None] - 1).double().sum()
            self.sums[index] += torch.stack([loops.double().sum(), chosen]).cpu()
        self.tokens += losses.shape[1]

    def points(self) -> list[DepthPoint]:
        """Means over the tokens."""
        means = (self.sums / self.tokens).tolist()
        return [DepthPoint(q, *row) for q, row in zip(self.thresholds, means, strict=True)]


def differences_to_loop_1(nats: Mapping[str, torch.Tensor], lengths: Mapping[str, int]) -> list[Interval]:
    """
    In nats per token, of loop 1 and each later one, with intervals over the texts: how much a text costs more than
    another is common to all loops and does not widen them.

    Args:
        nats: Of each text the sums after each loop.
        lengths: Its tokens.
    """
    sums, tokens = torch.stack(list(nats.values())), torch.tensor([lengths[name] for name in nats])
    intervals = []
    for differences in (sums - sums[:, :1]).t():
        mean = differences.sum() / tokens.sum()
        # The mean of these is that of the tokens; long texts count for more, and their number varies with the texts.
        per_text = mean + (differences - mean * tokens) / tokens.double().mean()
        intervals.append(bootstrap(per_text.tolist()))
    return intervals


def best_mixture_of_depths(losses: Sequence[float], mean_loops: float) -> float:
    """
    The lowest loss of a choice of depths that does not look at the tokens, with `mean_loops` loops on average: what a
    gate has to beat. `losses` are those after loop 1, 2, ...

    Raises:
        ValueError: `mean_loops` is not between 1 and the number of losses.
    """
    if not 1 <= mean_loops <= len(losses):
        raise ValueError(f"mean_loops must be from 1 to {len(losses)}, got {mean_loops!r}")
    depths = range(1, len(losses) + 1)
    mixtures = [losses[depth - 1] for depth in depths if depth == mean_loops]
    for low in depths:
        for high in depths:
            if low < mean_loops < high:
                share = (mean_loops - low) / (high - low)
                mixtures.append((1 - share) * losses[low - 1] + share * losses[high - 1])
    return min(mixtures)


def read_texts(path: Path) -> dict[str, str]:
    """
    Texts by their name: the .rs files of a folder that [`rust_files`] takes, one such file, or the column `code` of a
    .jsonl or .jsonl.gz file.

    Raises:
        ValueError: There are none, or a file cannot be read or is not UTF-8; it is named.
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
        texts = dict(_codes(path))
    texts = {name: text for name, text in texts.items() if text.strip()}
    if not texts:
        raise ValueError(f"text must be .rs files or JSON lines with a column code, got none in {path}")
    return texts


def _codes(path: Path) -> Iterator[tuple[str, str]]:
    # Not `splitlines`: JSON leaves some of the characters that it takes for ends of lines as they are.
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
    Bits per byte of texts after each loop, a mean over the texts, comparable between tokenizers. Every token of a text
    is predicted once, from at most `window - 1` tokens before it and a start token.

    `details` has the perplexity per token after each loop and, for a LoopLM, the depth-quality curve: loss against
    mean loops for a sweep of exit thresholds, chosen from one pass at full depth, and the loss after each loop minus
    that after loop 1 with intervals over the texts. With an exit threshold below 1, asked for or configured, or a
    model that keeps the last loop's keys and values alone, the bits per byte are those of decoding so, and `decoded`
    is that point.

    Raises:
        ValueError: The window is below 2, or depth is asked of a model that has none.
    """
    if window < 2:
        raise ValueError(f"window must be at least 2 tokens, got {window}")
    is_loop_model = is_looplm(model.config)
    depth = {"num_loops": num_loops, "exit_at_loop": exit_at_loop, "exit_threshold": exit_threshold}
    asked = [name for name, value in depth.items() if value is not None]
    if asked and not is_loop_model:
        raise ValueError(f"{', '.join(asked)} needs a LoopLM, got a model of type {model.config.model_type}")
    threshold = depth_to_run(model.config, **depth)[1] if is_loop_model else 1.0
    decodes = threshold < 1 or (is_loop_model and model.config.kv_reuse == "last")
    start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    pieces: list[tuple[str, list[int]]] = []
    for name, text in texts.items():
        # Text that spells a special token stays text; how a tokenizer begins a text by itself does not matter here.
        settings = {"add_special_tokens": False, "split_special_tokens": True, "verbose": False}
        tokens = [start, *tokenizer(text, **settings)["input_ids"]]
        pieces += [(name, tokens[at : at + window]) for at in range(0, len(tokens) - 1, window - 1)]
    sums, nats = _ExitSums(THRESHOLDS), {name: torch.zeros(1, dtype=torch.float64) for name in texts}
    decoded_nats, decoded_loops = dict.fromkeys(texts, 0.0), 0.0
    with _measuring(model), show_progress("Perplexity", len(pieces), "windows", shown=progress) as advance:
        for at in range(0, len(pieces), batch_size):
            batch = pieces[at : at + batch_size]
            length = max(len(tokens) for _, tokens in batch)
            # Causal attention: what is padded behind a text changes nothing in it.
            input_ids = torch.tensor([tokens + [start] * (length - len(tokens)) for _, tokens in batch])
            labels = torch.tensor([tokens[1:] + [IGNORE_INDEX] * (length - len(tokens) + 1) for _, tokens in batch])
            input_ids, labels = input_ids.to(model.device), labels.to(model.device)
            losses, exit_pdf = _token_losses(model, input_ids, labels, num_loops, exit_at_loop)
            sums.add(losses, exit_pdf)
            lengths = [len(tokens) - 1 for _, tokens in batch]
            for (name, _), part in zip(batch, losses.double().split(lengths, dim=1), strict=True):
                nats[name] = nats[name] + part.sum(dim=1).cpu()
            if decodes:
                losses, loops = decoded_losses(model, input_ids, labels, num_loops, exit_threshold, exit_at_loop)
                decoded_loops += float(loops.sum())
                for (name, _), part in zip(batch, losses.double().split(lengths), strict=True):
                    decoded_nats[name] += float(part.sum())
            advance(len(batch))
    bits = {name: value / math.log(2) / len(texts[name].encode()) for name, value in nats.items()}
    loops = len(next(iter(bits.values())))
    headline = {name: float(each[-1]) for name, each in bits.items()}
    if decodes:
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
    if decodes:
        point = DepthPoint(threshold, decoded_loops / sums.tokens, sum(decoded_nats.values()) / sums.tokens)
        details["decoded"] = asdict(point)
    metrics = {name: bootstrap(list(values.values())) for name, values in per_problem.items()}
    return Results(NAME, {}, metrics, per_problem, details=details)
