"""What rounding a converted model to ternary weights costs."""

import math
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from evaluation.device import inference_device
from evaluation.suites.perplexity import score_texts
from modeling_nanochat import LoopLMForCausalLM

WINDOW = 1024


def cross_entropy(folder: Path, tokenizer: PreTrainedTokenizerBase, text: str, ternary: bool) -> float:
    """Return the cross-entropy of a text in nats per token under a converted model, with or without rounding."""
    model = LoopLMForCausalLM.from_pretrained(folder, ternary=ternary).eval().to(inference_device())
    window = min(WINDOW, model.config.max_position_embeddings)
    results = score_texts(model, tokenizer, {"text": text}, window, batch_size=1)
    return math.log(results.details["perplexity_by_loop"][-1])
