"""Small teachers with their tokenizer, and blocks of tokens in a file."""

from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tests.helpers.paths import BUILTIN
from tests.helpers.tiny import VOCAB_SIZE
from trainers.data.blocks import TokenBlocks, open_blocks
from trainers.data.manifest import PackSettings
from trainers.data.mix import MixedDocument
from trainers.data.pack import pack_documents
from trainers.data.sources import Document
from trainers.data.tokenizer import train_tokenizer


def tiny_llama(vocab_size: int = VOCAB_SIZE, seed: int = 0) -> LlamaForCausalLM:
    """A random Llama whose predictions are far from uniform."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        initializer_range=0.3,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    return LlamaForCausalLM(config).eval()


def rust_tokenizer(vocab_size: int = 300) -> PreTrainedTokenizerFast:
    """A tokenizer of the Rust that comes with the project."""
    texts = [path.read_text() for path in sorted(BUILTIN.rglob("*.rs"))]
    return train_tokenizer(texts, vocab_size, max_length=256)


def packed_blocks(folder: Path, tokenizer: PreTrainedTokenizerFast, document_masking: bool = False) -> TokenBlocks:
    """Blocks of 16 tokens of some Rust, in a file with its manifest."""
    texts = [f"fn f{number}(x: u32) -> u32 {{ x + {number} }}\n" for number in range(8)]
    documents = [Document.of("own", f"{number}", "file", "MIT", text) for number, text in enumerate(texts)]
    settings = PackSettings(16, document_masking)
    pack_documents(folder, (MixedDocument(each, "own") for each in documents), tokenizer, settings)
    return open_blocks(folder)


def save_teacher(folder: Path, tokenizer: PreTrainedTokenizerFast, padding: int = 0, seed: int = 0) -> Path:
    """A random Llama with a tokenizer in a folder, whose embedding has some rows more than there are tokens."""
    tiny_llama(len(tokenizer) + padding, seed).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
