"""Completions of a cut text begin as the tokenizer would go on in the whole text."""

from functools import partial

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from evaluation.generate import Prompt, generate
from evaluation.generation_settings import GenerationSettings
from evaluation.native_generation import NativeModel, constraint_of
from evaluation.token_healing import HealedTokens, TokenBytes, TokenHealing, can_heal, log_probabilities_of
from runtime.settings import SamplingSettings
from tests.helpers.tiny import tiny_model

TEXT = "fn ab() {\n    let x = 1;\n    x\n}\n"
CORPUS = [TEXT, "fn b(a: i32) -> i32 {\n    a\n}\n", "mod a {\n    fn b() {\n        let y = 1;\n    }\n}\n"] * 4


def trained(pre_tokenizer, decoder, **trainer) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE(byte_fallback=False))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizer, decoder
    special = ["<pad>", "<bos>", "<eos>"]
    tokenizer.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=300, special_tokens=special, **trainer))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>", padding_side="left"
    )


@pytest.fixture(scope="module")
def byte_level():
    """Every line break is one token with all spaces after it: the whole text is one word for BPE."""
    return trained(
        pre_tokenizers.Sequence(
            [pre_tokenizers.Split("{", "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
        ),
        decoders.ByteLevel(),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        max_token_length=6,
    )


@pytest.fixture(scope="module")
def sentencepiece():
    return trained(pre_tokenizers.Metaspace(prepend_scheme="first"), decoders.Metaspace(prepend_scheme="first"))


@pytest.fixture(scope="module", params=["byte_level", "sentencepiece"])
def any_tokenizer(request):
    return request.getfixturevalue(request.param)


def test_the_bytes_of_tokens_are_the_text(any_tokenizer):
    ids = any_tokenizer(TEXT, add_special_tokens=False)["input_ids"]
    found = TokenBytes(any_tokenizer).join([any_tokenizer.bos_token_id, *ids]).decode()
    assert found.removeprefix(" ") == TEXT and len(ids) < len(TEXT)


def follows(healing, prompt, tokens) -> bool:
    """Whether the processor allows a sequence of tokens."""
    processor = HealedTokens(healing, [prompt])
    for place, token in enumerate(tokens):
        scores = processor(torch.tensor([[*prompt.ids, *tokens[:place]]]), torch.zeros(1, 300))
        if scores[0, token] != 0:
            return False
    return True


def test_a_text_cut_anywhere_can_be_continued_with_its_own_tokens(any_tokenizer):
    """Where the tokenizer starts a token at the place where the healed prompt ends; it may have merged more before."""
    healing = TokenHealing(any_tokenizer)
    whole = any_tokenizer(TEXT)["input_ids"]
    checked = 0
    for cut in range(1, len(TEXT)):
        prompt = healing.heal(any_tokenizer(TEXT[:cut])["input_ids"])
        assert any_tokenizer.decode(prompt.ids) + prompt.removed.decode() in (TEXT[:cut], " " + TEXT[:cut])
        if prompt.start is not None and whole[: len(prompt.ids)] == prompt.ids:
            assert follows(healing, prompt, whole[len(prompt.ids) :]), TEXT[:cut]
            assert healing.text(whole[len(prompt.ids) :], prompt) == TEXT[cut:]
            checked += 1
    assert checked > len(TEXT) // 2


def test_what_does_not_agree_with_the_prompt_is_not_allowed(byte_level):
    healing = TokenHealing(byte_level)
    prompt = healing.heal(byte_level("fn ab() {\n    ")["input_ids"])
    assert prompt.removed == b"{\n    "
    (brace,), (line,) = (byte_level(text)["input_ids"] for text in ("{", "\n    "))
    spaces = byte_level(" ")["input_ids"]
    assert follows(healing, prompt, [brace, line])
    # The tokenizer never begins a line with spaces of their own.
    assert not follows(healing, prompt, [brace, byte_level("\n")["input_ids"][0], *spaces * 4])
    assert not follows(healing, prompt, [brace, byte_level("}")["input_ids"][0]])
    assert not follows(healing, prompt, [byte_level.eos_token_id])


def test_the_distribution_is_that_of_the_text_cut_before_the_token(byte_level):
    """After `{` the model chooses among all tokens; given a line break, among those that begin with one."""
    model = tiny_model(vocab_size=300, eos_token_id=2, pad_token_id=0)
    healing = TokenHealing(byte_level)
    prompt = healing.heal(byte_level("fn ab() {\n")["input_ids"])
    processor = HealedTokens(healing, [prompt])
    ids = torch.tensor([byte_level("fn ab() {")["input_ids"]])
    with torch.no_grad():
        logits = model(ids).logits[:, -1]
        first = processor(ids[:, :-1], model(ids[:, :-1]).logits[:, -1])
    assert first.isfinite().nonzero().tolist() == [[0, ids[0, -1].item()]]
    lines = [place for place, piece in enumerate(healing.bytes.pieces) if piece.startswith(b"\n")]
    expected = torch.zeros(300)
    expected[lines] = logits[0, lines].softmax(0)
    torch.testing.assert_close(processor(ids, logits).softmax(1)[0], expected)
    assert len(lines) > 2


def ways(healing, prompt, place, path=()):
    """All sequences of allowed tokens up to the one that ends the removed text."""
    for token in healing.allowed(place).tolist():
        if token in place.next:
            yield from ways(healing, prompt, place.next[token], (*path, token))
        else:
            yield (*path, token)


def probability(model, ids, path, processor=None):
    """Probability that a model continues a prompt with a path, token by token."""
    found = 1.0
    for place, token in enumerate(path):
        tokens = torch.tensor([[*ids, *path[:place]]])
        with torch.no_grad():
            logits = model(tokens).logits[:, -1]
        found *= float((logits if processor is None else processor(tokens, logits)).softmax(1)[0, token])
    return found


@pytest.mark.parametrize(
    "text, weighed", [("fn ab() {\n", False), ("fn b(a: i32) -> i32 {\n    l", False), ("fn ab() {\n\n  ", True)]
)
def test_every_way_to_go_on_keeps_its_probability_given_the_prompt(byte_level, text, weighed):
    """Also where a token ends within the removed text: it counts with the probability that the rest follows."""
    model = tiny_model(vocab_size=300, eos_token_id=2, pad_token_id=0)
    healing = TokenHealing(byte_level)
    asked = log_probabilities_of(model, byte_level)
    (prompt,) = healing.weighed([healing.heal(byte_level(text)["input_ids"])], asked)
    paths = list(ways(healing, prompt, prompt.start))
    plain = torch.tensor([probability(model, prompt.ids, path) for path in paths])
    healed = [probability(model, prompt.ids, path, HealedTokens(healing, [prompt])) for path in paths]
    torch.testing.assert_close(torch.tensor(healed), plain / plain.sum(), rtol=1e-3, atol=1e-5)
    assert len(paths) > 2 and bool(prompt.weights) == weighed


def test_the_native_engine_goes_every_way_with_its_probability_given_the_prompt(byte_level):
    model = tiny_model(vocab_size=300, eos_token_id=2, pad_token_id=0)
    healing = TokenHealing(byte_level)
    native, healed = (
        NativeModel(model, byte_level, None, healing),
        healing.heal(byte_level("fn ab() {\n\n  ")["input_ids"]),
    )
    (expected,) = healing.weighed([healed], log_probabilities_of(model, byte_level))
    asked = partial(native.next_log_probabilities, settings=GenerationSettings())
    (prompt,) = healing.weighed([healed], asked)
    assert prompt.weights == pytest.approx(expected.weights, abs=1e-4)
    paths = list(ways(healing, prompt, prompt.start))
    plain = torch.tensor([probability(model, prompt.ids, path) for path in paths])
    sampling = SamplingSettings(max_new_tokens=6, temperature=1.0, num_return_sequences=3000)
    found = native.engine.generate([prompt.ids], sampling, constraints=[constraint_of(healing, prompt)])
    counts = torch.tensor([sum(tuple(each.token_ids[: len(path)]) == path for each in found) for path in paths])
    assert counts.sum() == len(found)
    torch.testing.assert_close(counts / len(found), plain / plain.sum(), rtol=0, atol=0.03)


def test_greedy_decoding_from_any_cut_gives_the_memorized_text(byte_level, tmp_path):
    """A model that knows one text by heart continues its prefixes of different lengths in one batch."""
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=300, n_embd=32, n_layer=2, n_head=2, n_positions=64))
    ids = torch.tensor([byte_level(TEXT)["input_ids"]])
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(60):
        model(ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()
    cuts = [TEXT.index("{") + 1, TEXT.index("\n") + 1, TEXT.index("let"), TEXT.index("let") - 2, TEXT.index(";") + 1]
    prompts = [Prompt(str(cut), TEXT[:cut]) for cut in cuts]
    sampling = GenerationSettings(temperature=0, max_new_tokens=40)
    found = generate(model, byte_level, prompts, sampling, tmp_path / "samples", progress=False)
    assert [prompt.text + sample.completion for prompt, sample in zip(prompts, found, strict=True)] == [
        TEXT.rstrip() for _ in cuts
    ]


def test_special_tokens_and_the_only_token_are_kept(byte_level):
    healing = TokenHealing(byte_level)
    begin, (line,) = byte_level.bos_token_id, byte_level("\n    ")["input_ids"]
    assert healing.heal([begin]).ids == [begin] and healing.heal([begin]).start is None
    assert healing.heal([begin, line]).ids == [begin] and healing.heal([begin, line]).removed == b"\n    "
    assert healing.heal([line]).ids == [line] and healing.heal([line]).start is None


def test_a_character_of_several_tokens_is_removed_as_a_whole(byte_level):
    ids = byte_level("fn ä")["input_ids"]
    prompt = TokenHealing(byte_level).heal(ids)
    assert prompt.removed == "ä".encode() and prompt.ids == ids[:-2]


def test_a_tokenizer_of_another_kind_is_left_alone():
    tokenizer = Tokenizer(models.WordPiece({"[UNK]": 0, "fn": 1}, unk_token="[UNK]"))
    tokenizer.decoder = decoders.WordPiece()
    assert not can_heal(PreTrainedTokenizerFast(tokenizer_object=tokenizer)) and not can_heal(None)
