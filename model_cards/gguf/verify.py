"""
Comparison of a GGUF file in stock llama.cpp with the model in PyTorch: next-token log-probabilities and token ids.
llama.cpp comes from the `xllamacpp` wheel, which contains it unchanged.

llama.cpp rounds the inputs of quantized matrices per block of 32 or 256, the model per token, so that these never
agree exactly. An f32 file has no such rounding and must agree closely: it tests the structure (rotary order, loops,
norms). The other types test their weights.
"""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import ProxyHandler, Request, build_opener

import torch
from transformers import PreTrainedTokenizerFast

from evaluation.device import full_precision
from model_cards.gguf.file import ARCHITECTURE, UNROLLED, GgufFile, read_gguf
from model_cards.gguf.limits import exported_loops
from modeling_nanochat import LoopLMForCausalLM

PROMPTS = (
    "/// Returns the largest element of a slice.\nfn largest<T: PartialOrd>(items: &[T]) -> Option<&T> {\n",
    "impl<'a> Iterator for Words<'a> {\n    type Item = &'a str;\n\n    fn next(&mut self) -> Option<Self::Item> {\n",
    "use std::collections::HashMap;\n\npub fn count(words: &[String]) -> HashMap<&str, usize> {\n    let mut counts =",
    'fn main() {\n    let naïve = "größer 日本語 🦀";\n    println!("{}", naïve.chars().count());\n}\n',
)
TEXTS = (
    *PROMPTS,
    "",
    " ",
    "  leading and trailing  ",
    "\r\n\r\n\tlet x = 1_000u64;\r\n",
    "it's we'll I'd they've 'static '\\n' r#\"raw\"# b'\\xff'",
    "a  b   c    d\n\n\n     e",
    "x86_64 3.14159e-10 0xDEAD_BEEF 1234567890",
    "e\u0301 \u00a0 \u200b \ufeff \u2028 \U0001f468\u200d\U0001f469\u200d\U0001f467 \u0600\u0661 \u4e00\u3042\uac00",
    "->=>::<>..=&&||!=<<=>>=#[derive(Debug)]//!/*",
)
LARGEST_DIFFERENCE, COMPARED_TOKENS = 1e-3, 20
LARGEST_KL, SMALLEST_TOP1 = 1e-3, 0.9
ROUNDINGS = 2
"""
Two roundings of activations that are independent of each other, that of the model and that of llama.cpp, are about
twice as far from each other as each is from none.
"""
LISTED_TOKENS = 1024


@dataclass(frozen=True)
class Agreement:
    """
    How closely llama.cpp, running a file, agrees with the model.

    Attributes:
        path, type, loops: The file, the type of its matrices, and its number of loops.
        wanted_loops: Number of loops that it must have.
        activation_bits: Bits of the activations in the model that it was compared with; None: not rounded.
        positions: Number of predictions that were compared.
        max_difference: Largest difference of log-probabilities, in nats, over the model's 20 most likely tokens.
        kl: Mean Kullback-Leibler divergence of llama.cpp's prediction from the model's, in nats. All tokens but the
            1024 most likely count as one, which makes it a lower bound.
        rounding_kl: The same divergence of the model without the rounding of its activations, which is the size of
            differences that rounding makes in this model; 0 where it is compared without rounding.
        top1: Share of positions with the same most likely token.
        texts, wrong_texts: Number of texts whose token ids were compared, and the texts whose ids differ.
    """

    path: Path
    type: str
    loops: int
    wanted_loops: int
    activation_bits: int | None
    positions: int
    max_difference: float
    kl: float
    rounding_kl: float
    top1: float
    texts: int
    wrong_texts: tuple[str, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        """One sentence for each value outside its tolerance; empty when the file may be published."""
        found = []
        if self.loops != self.wanted_loops:
            found.append(f"the file must loop {self.wanted_loops} times, got {self.loops}")
        if self.type == "f32" and not self.max_difference <= LARGEST_DIFFERENCE:
            found.append(
                f"log-probabilities must differ by at most {LARGEST_DIFFERENCE} nats, got {self.max_difference:.3g}"
            )
        largest = max(LARGEST_KL, ROUNDINGS * self.rounding_kl)
        if not self.kl < largest:
            found.append(f"the KL divergence must be below {largest:.3g} nats, got {self.kl:.3g}")
        if not self.top1 > SMALLEST_TOP1:
            found.append(
                f"the most likely token must be the same at more than {SMALLEST_TOP1:.0%} of the positions, got "
                f"{self.top1:.1%}"
            )
        if self.wrong_texts:
            found.append(f"token ids must be the same, got others for {', '.join(map(repr, self.wrong_texts))}")
        return tuple(found)

    def table(self) -> str:
        """Format the values as lines to print."""
        rows = {
            "file": str(self.path),
            "matrices, loops": f"{self.type}, {self.loops}",
            "model's activations": "float" if self.activation_bits is None else f"int{self.activation_bits}",
            "positions compared": str(self.positions),
            "max |difference|, nats": f"{self.max_difference:.2e}",
            "KL divergence, nats": f"{self.kl:.2e}",
            "of the rounding alone": f"{self.rounding_kl:.2e}",
            "same most likely token": f"{self.top1:.1%}",
            "texts with equal ids": f"{self.texts - len(self.wrong_texts)} of {self.texts}",
            "agrees": "yes" if not self.problems else "NO: " + "; ".join(self.problems),
        }
        return "\n".join(f"{name:<24}{value}" for name, value in rows.items())


class LlamaCpp:
    """
    A file in llama.cpp's server, on the loopback interface, with one thread; a context manager.

    Args:
        path: The GGUF file.
        context: Maximum number of tokens.
        precise: Cache keys and values in fp32, and do not use flash attention; False: llama.cpp's defaults.
    """

    def __init__(self, path: str | Path, context: int = 512, precise: bool = True):
        import xllamacpp

        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(path)
        parameters.n_ctx = context
        parameters.n_parallel = 1
        parameters.n_gpu_layers = 0
        parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
        if precise:
            parameters.cache_type_k = parameters.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
            parameters.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        parameters.warmup = False
        parameters.verbosity = -1
        try:
            self._server = xllamacpp.Server(parameters)
        except RuntimeError as error:
            raise ValueError(f"llama.cpp must be able to load {path}, got: {error}") from error
        # Proxies of the environment cannot reach the loopback interface.
        self._opener = build_opener(ProxyHandler({}))
        # The server lists no probabilities when the token that it samples ends within a character. A bias makes it
        # always sample this letter.
        (letter,) = self._post("/tokenize", {"content": "a"})["tokens"]
        self._sampled = [[letter, 1e6]]
        # A server that is deleted before its loop has started waits for itself forever. One that answers has started.
        self.complete([letter], 1)

    def __enter__(self) -> "LlamaCpp":
        return self

    def __exit__(self, *_) -> None:
        del self._server

    def _post(self, route: str, body: dict) -> dict:
        request = Request(
            self._server.listening_address + route, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with self._opener.open(request) as response:
            return json.load(response)

    def tokenize(self, text: str) -> list[int]:
        """Return the token ids of a text, with the bos token if the file asks for one."""
        return self._post("/tokenize", {"content": text, "add_special": True})["tokens"]

    def complete(self, ids: list[int], count: int, reuse: bool = True) -> dict:
        """
        Generate `count` tokens after `ids` greedily, also beyond the end of the text.

        Args:
            reuse: See [`LlamaCpp.log_probabilities`].

        Returns:
            The response of the server, with its `timings`.
        """
        body = {"prompt": ids, "n_predict": count, "temperature": 0, "ignore_eos": True, "cache_prompt": reuse}
        return self._post("/completion", body)

    def log_probabilities(self, ids: list[int], count: int, reuse: bool = True) -> dict[int, float]:
        """
        Return the `count` most likely next tokens after `ids` with their log-probabilities, the most likely first.

        Args:
            reuse: Continue from the key-value cache of an earlier, shorter call; False: process the whole prompt.
        """
        # The bias changes what is sampled, but not the listed log-probabilities.
        body = {"prompt": ids, "n_predict": 1, "n_probs": count, "logit_bias": self._sampled, "cache_prompt": reuse}
        (prediction,) = self._post("/completion", body)["completion_probabilities"]
        return {entry["id"]: entry["logprob"] for entry in prediction["top_logprobs"]}


def verify_gguf(
    path: str | Path,
    model: LoopLMForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    prompts: tuple[str, ...] = PROMPTS,
    max_tokens: int = 48,
    num_loops: int | None = None,
) -> Agreement:
    """
    Compare a file in llama.cpp with the model it was exported from, at every position of the prompts. Files with
    quantized matrices are compared with the model as it is, f32 and f16 files with the model without rounding of
    activations.

    Args:
        path: The GGUF file.
        model: The model in fp32; it may be in training mode.
        tokenizer: The tokenizer of the model.
        prompts: Texts whose next tokens are predicted.
        max_tokens: Maximum number of tokens of a prompt.
        num_loops: Number of loops that the file must have; None: the model's.

    Raises:
        ValueError: The file cannot be read or loaded or has another vocabulary, or the model is not in fp32.
            Disagreement does not raise: see [`Agreement.problems`].
    """
    if model.dtype != torch.float32:
        raise ValueError(f"model must be loaded with dtype=torch.float32 to be compared, got {model.dtype}")
    file = read_gguf(path)
    matrix_type = _matrix_type(file)
    prefix = file.metadata["general.architecture"]
    rows = file.metadata[f"{prefix}.vocab_size"]
    if rows != model.config.vocab_size:
        raise ValueError(
            f"{path} must be a file of this model: its vocabulary has {rows} tokens, LoopLMConfig.vocab_size is "
            f"{model.config.vocab_size}"
        )
    int8 = model.config.ternary and matrix_type not in ("f32", "f16")
    bits = model.config.activation_bits if int8 else None
    file_loops = file.metadata.get(f"{prefix}.num_loops", 1)
    count = min(model.config.vocab_size, LISTED_TOKENS)
    max_tokens = min(max_tokens, file.metadata[f"{prefix}.context_length"] - 1)
    differences, divergences, roundings, same = [], [], [], []
    with LlamaCpp(path, context=max_tokens + 1) as engine:
        for prompt in prompts:
            ids = tokenizer(prompt)["input_ids"][:max_tokens]
            predictions = _model_log_probabilities(model, ids, file_loops, bits)
            if bits is not None:
                exact = _model_log_probabilities(model, ids, file_loops, None)
                roundings += (predictions.exp() * (predictions - exact)).sum(dim=-1).tolist()
            for length, expected in enumerate(predictions, start=1):
                found = engine.log_probabilities(ids[:length], count, reuse=length < len(ids))
                differences.append(_largest_difference(expected, found))
                divergences.append(divergence(expected, found))
                same.append(next(iter(found)) == expected.argmax().item())
        wrong = tuple(text for text in TEXTS if engine.tokenize(text) != tokenizer(text)["input_ids"])
    return Agreement(
        path=Path(path),
        type=matrix_type,
        loops=file_loops,
        wanted_loops=exported_loops(model.config) if num_loops is None else num_loops,
        activation_bits=bits,
        positions=len(same),
        max_difference=max(differences),
        # Rounding can make the divergence of equal predictions negative.
        kl=max(0.0, sum(divergences) / len(divergences)),
        rounding_kl=sum(roundings) / len(roundings) if roundings else 0.0,
        top1=sum(same) / len(same),
        texts=len(TEXTS),
        wrong_texts=wrong,
    )


def _matrix_type(file: GgufFile) -> str:
    architecture = file.metadata.get("general.architecture")
    keys = ["vocab_size", "context_length", *(["num_loops"] if architecture != UNROLLED else [])]
    for name in ("blk.0.attn_q.weight", *(f"{architecture}.{key}" for key in keys)):
        if architecture not in (ARCHITECTURE, UNROLLED) or (name not in file.tensors and name not in file.metadata):
            raise ValueError(f"{file.path} must be a file of the architecture {ARCHITECTURE}: it has no {name}")
    return file.tensors["blk.0.attn_q.weight"].format.name


@contextmanager
def _activation_bits(model: LoopLMForCausalLM, bits: int | None) -> Iterator[None]:
    layers = model.get_decoder().ternary_layers()
    before = [layer.activation_bits for layer in layers]
    try:
        for layer in layers:
            layer.activation_bits = bits
        yield
    finally:
        for layer, own in zip(layers, before, strict=True):
            layer.activation_bits = own


@torch.no_grad()
def _model_log_probabilities(model: LoopLMForCausalLM, ids: list[int], loops: int, bits: int | None) -> torch.Tensor:
    """Log-probabilities of the token after each of `ids`, fp32 (tokens, vocab_size) on the CPU."""
    with _activation_bits(model, bits), full_precision():
        output = model(
            input_ids=torch.tensor([ids], device=model.device),
            num_loops=loops,
            exit_at_loop=loops,
            exit_threshold=1.0,
            use_cache=False,
            return_logits=True,
        )
    return output.logits[0].log_softmax(dim=-1).cpu()


def _largest_difference(expected: torch.Tensor, found: dict[int, float]) -> float:
    top = expected.topk(min(COMPARED_TOKENS, len(expected)))
    pairs = zip(top.indices.tolist(), top.values.tolist(), strict=True)
    return max(abs(found[token] - value) if token in found else math.inf for token, value in pairs)


def divergence(expected: torch.Tensor, found: dict[int, float]) -> float:
    """
    Return the Kullback-Leibler divergence, in nats, of a prediction of which only the most likely tokens are known.
    All others count as one token, so that the result is a lower bound (log-sum inequality).

    Args:
        expected: Log-probabilities of the model, (vocab_size,).
        found: Log-probabilities of llama.cpp by token id.
    """
    tokens = list(found)
    theirs = torch.tensor([found[token] for token in tokens], dtype=torch.float64)
    ours = expected[tokens].double()
    divergence = (ours.exp() * (ours - theirs)).sum().item()
    if len(tokens) < len(expected):
        # The remaining probabilities are differences of rounded sums: below 1e-6 they are only rounding.
        our_rest, their_rest = (max(1 - part.exp().sum().item(), 1e-6) for part in (ours, theirs))
        divergence += our_rest * math.log(our_rest / their_rest)
    return divergence
