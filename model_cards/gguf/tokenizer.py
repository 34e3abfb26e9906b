"""A byte-level BPE tokenizer as GGUF metadata (llama.cpp's tokenizer model "gpt2", with its pre-tokenizer)."""

import json

from transformers import PreTrainedTokenizerFast

from modeling_nanochat import LoopLMConfig

NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5


def tokenizer_metadata(tokenizer: PreTrainedTokenizerFast, config: LoopLMConfig) -> dict[str, object]:
    """
    Return the metadata of a tokenizer for a model with this configuration. Rows of the embedding that have no token
    get unused tokens, because llama.cpp requires a token for every row.

    Raises:
        ValueError: The tokenizer is not byte-level BPE with the pre-tokenizer of GPT-2 or of SmolLM, has more tokens
            than the model, or has another bos, eos or pad token than the model.
    """
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    words = _kind_of_words(state)
    vocabulary = tokenizer.get_vocab()
    if max(vocabulary.values()) >= config.vocab_size:
        raise ValueError(
            f"LoopLMConfig.vocab_size must be above the tokenizer's largest id {max(vocabulary.values())}, got "
            f"{config.vocab_size}"
        )
    for name in ("bos_token_id", "pad_token_id"):
        if getattr(tokenizer, name) != getattr(config, name):
            raise ValueError(
                f"{name} must agree, got {getattr(tokenizer, name)} in the tokenizer and {getattr(config, name)} in "
                "LoopLMConfig"
            )
    tokens = [f"<|unused_{index}|>" for index in range(config.vocab_size)]
    types = [UNUSED] * config.vocab_size
    for token, index in vocabulary.items():
        tokens[index], types[index] = token, NORMAL
    for added in state["added_tokens"]:
        for flag in ("single_word", "lstrip", "rstrip"):
            if added[flag]:
                raise ValueError(
                    f"tokenizer: {flag} must be False for the added token {added['content']!r}, got True: llama.cpp "
                    "matches added tokens anywhere, whatever is around them"
                )
        types[added["id"]] = CONTROL if added["special"] else USER_DEFINED
    if len(set(tokens)) != len(tokens):
        raise ValueError("tokenizer: no token may be called <|unused_N|>, the name of rows without a token")
    if not state["model"]["merges"]:
        raise ValueError(
            "tokenizer: it must have merges for llama.cpp to load it, got none: train one with a larger vocabulary"
        )
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in state["model"]["merges"]]

    metadata = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": words,
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.add_bos_token": _adds_bos(tokenizer),
        "tokenizer.ggml.add_eos_token": False,
        "tokenizer.ggml.add_space_prefix": False,
    }
    if config.eos_token_id is None:
        raise ValueError(
            "LoopLMConfig.eos_token_id must be a token for GGUF, got None: llama.cpp would stop at token 11 instead"
        )
    ends = config.eos_token_id if isinstance(config.eos_token_id, list) else [config.eos_token_id]
    if len(ends) > 2:
        raise ValueError(f"LoopLMConfig.eos_token_id must be at most two tokens (eos and eot) for GGUF, got {ends}")
    if tokenizer.eos_token_id not in ends:
        raise ValueError(
            f"eos_token_id must agree, got {tokenizer.eos_token_id} in the tokenizer and {config.eos_token_id} in "
            "LoopLMConfig"
        )
    special = {"bos": config.bos_token_id, "padding": config.pad_token_id, "eos": ends[0]}
    if len(ends) == 2:
        special["eot"] = ends[1]
    metadata |= {f"tokenizer.ggml.{name}_token_id": index for name, index in special.items() if index is not None}
    templates = tokenizer.chat_template or {}
    if isinstance(templates, str):
        templates = {"default": templates}
    # Keys as in the `gguf` package.
    named = [name for name in templates if name != "default"]
    metadata |= {f"tokenizer.chat_template.{name}": templates[name] for name in named}
    if named:
        metadata["tokenizer.chat_templates"] = named
    if "default" in templates:
        metadata["tokenizer.chat_template"] = templates["default"]
    return metadata


def _kind_of_words(state: dict) -> str:
    """
    Return llama.cpp's name for how the tokenizer splits text: "gpt-2", or "smollm" with each digit for itself.

    Raises:
        ValueError: llama.cpp would make other tokens.
    """
    model, splitting = state["model"], state["pre_tokenizer"] or {}
    parts = splitting["pretokenizers"] if splitting.get("type") == "Sequence" else [splitting]
    splits_digits = len(parts) == 2 and parts[0] == {"type": "Digits", "individual_digits": True}
    if splits_digits:
        splitting = parts[1]
    found = {
        "model.type": model["type"],
        "normalizer": state["normalizer"],
        "pre_tokenizer.type": splitting.get("type"),
        "pre_tokenizer.add_prefix_space": splitting.get("add_prefix_space"),
        "pre_tokenizer.use_regex": splitting.get("use_regex", True),
        "model.dropout": model.get("dropout"),
        "model.continuing_subword_prefix": model.get("continuing_subword_prefix") or None,
        "model.end_of_word_suffix": model.get("end_of_word_suffix") or None,
        "model.byte_fallback": model.get("byte_fallback", False),
        "model.ignore_merges": model.get("ignore_merges", False),
    }
    needed = dict.fromkeys(found) | {
        "model.type": "BPE",
        "pre_tokenizer.type": "ByteLevel",
        "pre_tokenizer.add_prefix_space": False,
        "pre_tokenizer.use_regex": True,
        "model.byte_fallback": False,
        "model.ignore_merges": False,
    }
    for field, value in found.items():
        if value != needed[field]:
            raise ValueError(
                f"tokenizer: {field} must be {needed[field]!r}, got {value!r}: only byte-level BPE with the "
                "pre-tokenizer of GPT-2, as trainers.data.tokenizer.train_tokenizer makes it, or of SmolLM can be "
                "exported"
            )
    return "smollm" if splits_digits else "gpt-2"


def _adds_bos(tokenizer: PreTrainedTokenizerFast) -> bool:
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    encoded = tokenizer("a")["input_ids"]
    if encoded not in (bare, [tokenizer.bos_token_id, *bare]):
        raise ValueError(
            f"tokenizer: it must add nothing to a text but a bos token at the start, got {encoded} for the ids {bare}"
        )
    return encoded != bare
