"""What rounding a float model to ternary weights asks of its widths, and what it costs."""

import math
from pathlib import Path
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase

from evaluation.device import inference_device
from evaluation.suites.perplexity import score_texts
from modeling_nanochat import LoopLMConfig, LoopLMForCausalLM

WINDOW = 1024
SMALLEST_NAMED = 16
"""Smaller group sizes are possible, and not named: their scales take more than a bit per weight."""


class RoundingCost(NamedTuple):
    """Cross-entropy of a text under a model with its float weights and with ternary ones, in nats per token."""

    before: float
    after: float

    def __str__(self) -> str:
        return f"{self.before:.4f} before, {self.after:.4f} ternary ({self.after - self.before:+.4f})"


def check_group_size(config: LoopLMConfig) -> None:
    """
    Check whether the weights of a model can be divided into groups of `ternary_group_size`.

    Args:
        config: Configuration of the float model.

    Raises:
        ValueError: The size does not divide all input widths; the message names sizes that do.
    """
    size = config.ternary_group_size
    _, head_dim = config.head_sizes()
    widths = (config.hidden_size, config.num_attention_heads * head_dim, config.intermediate_size)
    common = math.gcd(*widths)
    if size != -1 and common % size:
        sizes = [each for each in range(common, 0, -1) if common % each == 0]
        named = [each for each in sizes if each >= SMALLEST_NAMED] or sizes
        raise ValueError(
            f"group_size must be -1 or divide all input widths {', '.join(map(str, sorted(set(widths))))}, as "
            f"{', '.join(map(str, named))} do, got {size}"
        )


def read_text(path: Path | None, tokenizer: PreTrainedTokenizerBase | None) -> str | None:
    """Read a text to measure on; None without a path. Raises `ValueError` if it is empty or cannot be tokenized."""
    if path is None:
        return None
    content = path.read_text(encoding="utf-8")
    if tokenizer is None or not content.strip():
        raise ValueError(f"text needs a model with its tokenizer and a file that is not empty, got {path}")
    return content


def rounding_cost(folder: Path, tokenizer: PreTrainedTokenizerBase, text: str) -> RoundingCost:
    """Measure the cross-entropy of a text under the ternary model in a folder, without and with its rounding."""
    found = []
    for ternary in (False, True):
        model = LoopLMForCausalLM.from_pretrained(folder, ternary=ternary).eval().to(inference_device())
        window = min(WINDOW, model.config.max_position_embeddings)
        results = score_texts(model, tokenizer, {"text": text}, window, batch_size=1)
        found.append(math.log(results.details["perplexity_by_loop"][-1]))
    return RoundingCost(*found)
