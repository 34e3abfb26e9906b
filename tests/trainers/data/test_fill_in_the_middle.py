"""Fill-in-the-middle: documents are rearranged, and nothing else."""

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.paths import BUILTIN
from tests.helpers.tiny import tiny_model
from trainers.data.blocks import open_blocks
from trainers.data.fill_in_the_middle import FimTokens, infill_prompt, restore_document, split_document
from trainers.data.manifest import PackSettings
from trainers.data.mix import MixedDocument
from trainers.data.pack import pack_blocks, pack_documents
from trainers.data.sources import Document
from trainers.data.special_tokens import FIM_TOKENS
from trainers.data.tokenizer import train_tokenizer

TEXTS = [path.read_text() for path in sorted(BUILTIN.glob("*.rs"))]


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(TEXTS, 400, 64, fill_in_the_middle=True)


def mixed(texts, **columns):
    return [
        MixedDocument(Document(str(index), "a", str(index), "file", "MIT", text), "a", **columns)
        for index, text in enumerate(texts)
    ]


def packed(folder, texts, tokenizer, rate, seed=0, **columns):
    """Token ids of each document, from bos to eos."""
    pack_documents(folder, mixed(texts, **columns), tokenizer, PackSettings(2, fim_rate=rate, seed=seed))
    stream = [token for row in open_blocks(folder, seq_len=1) for token in row["input_ids"].tolist()]
    documents = []
    for token in stream:
        if token == tokenizer.bos_token_id:
            documents.append([])
        documents[-1].append(token)
    return documents


@given(text=st.text(max_size=40), key=st.text(max_size=5))
def test_a_split_document_is_the_document(tokenizer, text, key):
    split = split_document(text, key, 1.0)
    assert split is not None and split.prefix + split.middle + split.suffix == text
    assert split == split_document(text, key, 1.0) and split_document(text, key, 0.0) is None
    prompt = infill_prompt(split.prefix, split.suffix, tokenizer, split.form)
    written = tokenizer(split.middle, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    assert restore_document([*prompt, *written, tokenizer.eos_token_id], tokenizer) == text


def test_packed_documents_can_be_restored_in_both_forms_even_if_they_spell_special_tokens(tmp_path, tokenizer):
    texts = [f"{text}{special}" for text in TEXTS for special in ("", *FIM_TOKENS, "<|eos|>", "漢字")] + [""]
    found = packed(tmp_path, texts, tokenizer, 1.0)
    assert [restore_document(document, tokenizer) for document in found] == texts
    tokens = FimTokens.of(tokenizer)
    begins = Counter(document[2] == tokens.suffix for document in found)
    assert set(begins) == {True, False}, "both forms"
    for document in found:
        assert document[1] == tokens.prefix and document[-1] == tokenizer.eos_token_id


def test_the_rate_is_the_share_of_split_documents(tmp_path, tokenizer):
    texts = [f"fn number_{index}() {{}}" for index in range(600)]
    found = packed(tmp_path, texts, tokenizer, 0.3)
    assert 0.25 < sum(document[1] == FimTokens.of(tokenizer).prefix for document in found) / 600 < 0.35


def test_splits_depend_on_the_document_the_seed_and_the_repetition_alone(tmp_path, tokenizer):
    first = packed(tmp_path / "first", TEXTS, tokenizer, 0.8)
    assert packed(tmp_path / "fewer", TEXTS[:2], tokenizer, 0.8) == first[:2]
    assert packed(tmp_path / "seed", TEXTS, tokenizer, 0.8, seed=1) != first
    assert packed(tmp_path / "again", TEXTS, tokenizer, 0.8, repetition=1) != first


def test_a_rate_of_zero_changes_nothing(tmp_path, tokenizer):
    blocks = pack_blocks(TEXTS, tokenizer, 1)["input_ids"][:]
    assert sum(packed(tmp_path, TEXTS, tokenizer, 0.0), []) == sum(blocks, [])


def test_only_tokenizers_that_are_trained_for_it_have_the_tokens(tmp_path, tokenizer):
    without = train_tokenizer(TEXTS, 400, 64)
    assert not set(FIM_TOKENS) & set(without.get_vocab())
    assert [tokenizer.convert_tokens_to_ids(token) for token in FIM_TOKENS] == [3, 4, 5]
    assert (tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id) == (0, 1, 2)
    with pytest.raises(ValueError, match="must have .* got one without <.fim_prefix.>.* or set fim_rate to 0"):
        pack_documents(tmp_path / "new", mixed(TEXTS), without, PackSettings(8, fim_rate=0.5))
    assert not (tmp_path / "new").exists()
    with pytest.raises(ValueError, match="vocab_size must be at least 262 .256 bytes and 6 special tokens., got 261"):
        train_tokenizer(TEXTS, 261, 64, fill_in_the_middle=True)
    assert restore_document(without("fn main() {}")["input_ids"], without) == "fn main() {}"


def test_what_a_model_generates_is_put_in_the_middle(tokenizer):
    prompt = infill_prompt("fn main() {", "}\n", tokenizer)
    model = tiny_model(vocab_size=len(tokenizer))
    generated = model.generate(
        torch.tensor([prompt]), max_new_tokens=8, do_sample=False, suppress_tokens=list(range(6))
    )
    written = generated[0, len(prompt) :].tolist()
    restored = restore_document(generated[0].tolist(), tokenizer)
    assert restored == "fn main() {" + tokenizer.decode(written) + "}\n"


@pytest.mark.parametrize("order", ["mps", "pssm", "xpsm", "pm"])
def test_special_tokens_in_another_order_are_refused(tokenizer, order):
    tokens = FimTokens.of(tokenizer)
    ids = [{"p": tokens.prefix, "s": tokens.suffix, "m": tokens.middle, "x": 40}[each] for each in order]
    with pytest.raises(ValueError, match="a document must begin with <.fim_prefix.>"):
        restore_document(ids, tokenizer)
