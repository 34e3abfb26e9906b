"""Samples end where the function ends, are the same every time, and survive a kill."""

import json
import string
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from evaluation.generate import Prompt, Sample, fingerprint, generate
from evaluation.generation_settings import GenerationSettings
from evaluation.loading import load_model
from evaluation.rust.syntax.completion import completed_function
from evaluation.token_healing import HealedTokens, TokenHealing
from tests.helpers.stored import needs_data, rows
from tests.helpers.tiny import tiny_model

PROMPTS = [Prompt("one", "fn one() -> i32 {\n"), Prompt("two", "/// {{\nfn two(text: &str) -> usize {\n")]
SAMPLING = GenerationSettings(num_samples=3, temperature=1.0, max_new_tokens=12, batch_size=4)


@pytest.mark.parametrize(
    "prompt, completion, expected",
    [
        ("fn f() {", " 1 }\nfn g() {}", " 1 }"),
        ("fn f() {", " if x { 1 } else { 2 }", None),
        ("fn f() {", ' "}" }', ' "}" }'),
        ("fn f() {", " '}' } }", " '}' }"),
        ("fn f() {", " // }\n }", " // }\n }"),
        ("fn f() {", " /* } /* } */ } */ }x", " /* } /* } */ } */ }"),
        ("fn f() {", ' r#"}"}"# } more', ' r#"}"}"# }'),
        ("fn f() {", ' println!("{}{{", x); }', ' println!("{}{{", x); }'),
        ("fn f() {", " let x = ; ) } fn", " let x = ; ) }"),
        ("impl A { fn f() {", " } fn g() {} }", " }"),
        ("fn f()", " -> i32 { 1 } fn g() {}", " -> i32 { 1 }"),
        ("// {\nfn f() {\n", "}\n}\n", "}"),
        ("fn f<'a>(x: &'a str) {", " let y: &'a str = x; }'", " let y: &'a str = x; }"),
        ("fn f() {", " 'ä' }ß", " 'ä' }"),
    ],
)
def test_a_function_ends_at_its_own_brace(prompt, completion, expected):
    assert completed_function(prompt, completion) == expected


@given(st.text(alphabet="{}ab \n;", max_size=30))
def test_what_is_cut_is_a_prefix_and_stays_cut(completion):
    found = completed_function("fn f() {", completion)
    if found is None:
        depth = 1
        for brace in completion:
            depth += {"{": 1, "}": -1}.get(brace, 0)
            assert depth > 0
    else:
        assert completion.startswith(found) and completed_function("fn f() {", found) == found


@needs_data
def test_every_solution_of_humaneval_ends_where_it_ends():
    for row in rows("humaneval_rust"):
        solution = row["canonical_solution"]
        found = completed_function(row["prompt"], solution + "\nfn main() { let x = 1; }\n")
        assert found is not None and found.rstrip() == solution[: len(found)].rstrip(), row["task_id"]
        # What follows the first function, in a few solutions, are its helpers' or its own further lines.
        assert solution[len(found) :].strip() == "" or "fn " in solution[len(found) :], row["task_id"]


def test_one_seed_draws_the_same_and_another_something_else(model, tokenizer, tmp_path):
    torch.rand(7)
    first = generate(model, tokenizer, PROMPTS, SAMPLING, tmp_path / "a.jsonl", progress=False)
    second = generate(model, tokenizer, PROMPTS, SAMPLING, tmp_path / "b.jsonl", progress=False)
    assert first == second and (tmp_path / "a.jsonl").read_text() == (tmp_path / "b.jsonl").read_text()
    other = generate(model, tokenizer, PROMPTS, replace(SAMPLING, seed=1), tmp_path / "c.jsonl", progress=False)
    assert [(sample.prompt, sample.index) for sample in first] == [
        (name, i) for name in ("one", "two") for i in range(3)
    ]
    assert [sample.completion for sample in first] != [sample.completion for sample in other]
    assert len({sample.completion for sample in first}) > 3 and all(sample.mean_loops == 3 for sample in first)


@pytest.mark.parametrize("lines, characters", [(1, 0), (3, 0), (5, 0), (5, 9), (6, 20), (0, 5)])
def test_a_file_cut_anywhere_continues_to_the_same_samples(model, tokenizer, tmp_path, lines, characters):
    whole = generate(model, tokenizer, PROMPTS, SAMPLING, tmp_path / "whole.jsonl", progress=False)
    text = (tmp_path / "whole.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "cut.jsonl").write_text("".join(text[:lines]) + text[lines][:characters])
    assert generate(model, tokenizer, PROMPTS, SAMPLING, tmp_path / "cut.jsonl", progress=False) == whole
    assert (tmp_path / "cut.jsonl").read_text() == "".join(text)


def test_samples_of_another_model_prompt_or_sampling_are_not_taken(model, tokenizer, tmp_path):
    path = tmp_path / "samples.jsonl"
    generate(model, tokenizer, PROMPTS, SAMPLING, path, progress=False)
    before = path.read_text()
    for changed, other in (
        ("model", (tiny_model(seed=1, vocab_size=300, eos_token_id=2, pad_token_id=0), tokenizer, PROMPTS, SAMPLING)),
        ("prompts", (model, tokenizer, PROMPTS[:1], SAMPLING)),
        ("sampling", (model, tokenizer, PROMPTS, replace(SAMPLING, top_p=0.5))),
    ):
        with pytest.raises(ValueError, match=f"holds samples with another {changed}"):
            generate(*other, path, progress=False)
    assert path.read_text() == before


def test_generation_stops_when_every_function_is_complete(tokenizer, tmp_path):
    """A model that always says the same token: the closing brace."""
    model = tiny_model(vocab_size=300, eos_token_id=2, pad_token_id=0)
    (brace,) = tokenizer("}", add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        model.model.norm.weight.zero_()
        model.lm_head = torch.nn.Linear(32, 300)
        model.lm_head.bias.zero_()[brace] = 50.0
    samples = generate(model, tokenizer, PROMPTS, SAMPLING, tmp_path / "s.jsonl", progress=False)
    assert {sample.completion.strip() for sample in samples} == {"}"} and all(sample.finished for sample in samples)
    # The first two are the end of the prompt, which is generated again: ` {` and the line break.
    assert {sample.tokens for sample in samples} == {3}


def test_depth_is_chosen_and_recorded(model, tokenizer, tmp_path):
    shallow = replace(SAMPLING, exit_at_loop=1, temperature=0, num_samples=1)
    deep = replace(shallow, exit_at_loop=None, num_loops=5)
    found = [
        generate(model, tokenizer, PROMPTS, each, tmp_path / f"{each.num_loops}.jsonl") for each in (shallow, deep)
    ]
    assert [each[0].mean_loops for each in found] == [1, 5]
    assert [sample.completion for sample in found[0]] != [sample.completion for sample in found[1]]


def test_the_mean_loops_are_those_of_the_samples_own_tokens(model, tokenizer, tmp_path):
    sampling = replace(SAMPLING, exit_threshold=0.5)
    together = generate(model, tokenizer, PROMPTS, sampling, tmp_path / "a.jsonl", progress=False)
    assert all(1 < sample.mean_loops < 3 for sample in together)
    assert len({sample.mean_loops for sample in together}) > 2
    greedy = replace(sampling, temperature=0, num_samples=1)
    batched = generate(model, tokenizer, PROMPTS, greedy, tmp_path / "b.jsonl", progress=False)
    alone = generate(model, tokenizer, PROMPTS, replace(greedy, batch_size=1), tmp_path / "c.jsonl", progress=False)
    assert [each.mean_loops for each in batched] == pytest.approx([each.mean_loops for each in alone])
    # What was drawn, token by token, is not in the sample; its depth is that of the model asked directly.
    healing = TokenHealing(tokenizer)
    prompt = healing.heal(tokenizer(PROMPTS[0].text)["input_ids"])
    settings = dict(max_new_tokens=alone[0].tokens, do_sample=False, exit_threshold=0.5)
    processors = [HealedTokens(healing, [prompt])]
    ids = torch.tensor([prompt.ids])
    output = model.generate(ids, logits_processor=processors, **settings, return_dict_in_generate=True)
    assert alone[0].mean_loops == pytest.approx(float(output.loops_used.float().mean()))


def test_any_causal_model_is_sampled_the_same_way(tokenizer, tmp_path):
    torch.manual_seed(0)
    shape = dict(vocab_size=300, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2)
    peer = LlamaForCausalLM(LlamaConfig(**shape, max_position_embeddings=64))
    peer.save_pretrained(tmp_path / "peer")
    tokenizer.save_pretrained(tmp_path / "peer")
    loaded = load_model(str(tmp_path / "peer"))
    assert fingerprint(loaded[0]) == fingerprint(load_model(str(tmp_path / "peer"))[0])
    samples = generate(*loaded, PROMPTS, SAMPLING, tmp_path / "peer.jsonl", progress=False)
    assert len(samples) == 6 and all(sample.mean_loops is None for sample in samples)
    with pytest.raises(ValueError, match="num_loops need a LoopLM, got a model of type llama"):
        generate(*loaded, PROMPTS, replace(SAMPLING, num_loops=2), tmp_path / "x.jsonl", progress=False)
    long = Prompt("long", string.ascii_letters * 9)
    with pytest.raises(ValueError, match="prompts must leave room within the model's 64 positions, got .* long"):
        generate(*loaded, [long], SAMPLING, tmp_path / "x.jsonl", progress=False)


def test_a_prompt_beyond_the_context_is_an_unfinished_completion_among_the_others(tokenizer, tmp_path):
    model = GPT2LMHeadModel(GPT2Config(vocab_size=300, n_embd=8, n_layer=1, n_head=1, n_positions=64)).eval()
    long = Prompt("long", string.ascii_letters * 9)
    settings = replace(SAMPLING, num_samples=1, batch_size=2)
    found = generate(model, tokenizer, [PROMPTS[0], long, *PROMPTS[1:]], settings, tmp_path / "s", progress=False)
    assert [sample.prompt for sample in found] == [PROMPTS[0].name, "long", *(each.name for each in PROMPTS[1:])]
    assert found[1] == Sample("long", 0, "", False, 0, None, True) and all(
        each.tokens for each in found if each != found[1]
    )


def test_a_completion_ends_where_the_positions_do(tokenizer, tmp_path):
    model = GPT2LMHeadModel(GPT2Config(vocab_size=300, n_embd=8, n_layer=1, n_head=1, n_positions=40)).eval()
    samples = generate(model, tokenizer, PROMPTS, replace(SAMPLING, max_new_tokens=99), tmp_path / "s", progress=False)
    # The last two tokens of the prompt are generated again. Prompts of other lengths in the batch do not matter.
    rooms = {prompt.name: 40 - len(tokenizer(prompt.text)["input_ids"]) + 2 for prompt in PROMPTS}
    assert len(set(rooms.values())) > 1
    assert {(each.prompt, each.tokens) for each in samples if each.reached_limit} == set(rooms.items())
    assert all(each.tokens <= rooms[each.prompt] for each in samples)


def test_what_is_no_model_is_refused_with_the_reason(tokenizer, tmp_path):
    with pytest.raises(ValueError, match="must be the folder of a saved model or a Hub name, got './nothing'"):
        load_model("./nothing")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "vit"}))
    with pytest.raises(ValueError, match="cannot be loaded as a causal language model"):
        load_model(str(tmp_path))
    small = GPT2LMHeadModel(GPT2Config(vocab_size=100, n_embd=8, n_layer=1, n_head=1))
    small.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="an embedding for every token of its tokenizer, got 100 for 300"):
        load_model(str(tmp_path))


@pytest.mark.parametrize(
    "settings, message",
    [
        (dict(num_samples=0), "num_samples must be at least 1, got 0"),
        (dict(temperature=-1), "temperature must be at least 0"),
        (dict(temperature=float("nan")), "temperature must be at least 0"),
        (dict(top_p=0), "top_p must be above 0"),
        (dict(repetition_penalty=0), "repetition_penalty must be above 0 and finite, got 0"),
        (dict(temperature=0, num_samples=2), "num_samples must be 1 at temperature 0"),
    ],
)
def test_impossible_sampling_is_refused_by_name(settings, message):
    with pytest.raises(ValueError, match=message):
        GenerationSettings(**settings)
