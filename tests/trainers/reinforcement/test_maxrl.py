"""MaxRL on TRL: what is drawn, what is scored, what is trained, and what is refused."""

import inspect
import json
import math
from copy import deepcopy

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from tokenizers.processors import TemplateProcessing
from transformers import LlamaConfig, LlamaForCausalLM
from trl import GRPOTrainer

from tests.helpers.reinforcement import PROMPTS, arguments, first_token_is_low, looped, prompts_tokenizer, trainer_of
from trainers.data.tokenizer import special_token_ids
from trainers.reinforcement.advantages import maxrl_advantages
from trainers.reinforcement.maxrl import MaxRLTrainer
from trainers.reinforcement.plots import plot_maxrl
from trainers.reinforcement.rewards import RustReward


@pytest.fixture(scope="module")
def tokenizer():
    return prompts_tokenizer()


def even_length(completion_ids, **columns) -> list[float]:
    return [float(len(ids) % 2 == 0) for ids in completion_ids]


def call_them_finished(trainer) -> None:
    """Completions of an untrained model hardly ever come to an end by themselves."""
    draw = trainer._generate_single_turn

    def finished(*args, **kwargs):
        drawn = draw(*args, **kwargs)
        trainer._finished = [True] * len(drawn[0])
        return drawn

    trainer._generate_single_turn = finished


def one_batch(trainer) -> dict:
    trainer.model.train()
    rows = [trainer.train_dataset[number] for number in range(2) for _ in range(4)]
    return trainer._generate_and_score_completions(rows)


def parameters(method) -> str:
    return f"({', '.join(inspect.signature(method).parameters)})"


def test_the_parts_of_trl_that_are_overridden_have_the_signatures_we_know():
    known = {
        "_generate_single_turn": "(self, prompt_ids, images, multimodal_fields, num_generations, has_tool_images)",
        "_calculate_rewards": "(self, inputs, prompts, completions, completion_ids_list)",
        "_save_checkpoint": "(self, model, trial)",
        "_load_from_checkpoint": "(self, resume_from_checkpoint, model)",
    }
    found = {name: parameters(getattr(GRPOTrainer, name)) for name in known}
    assert found == known
    assert list(inspect.signature(GRPOTrainer._generate_and_score_completions).parameters) == ["self", "inputs"]
    scored = list(inspect.signature(GRPOTrainer._get_per_token_logps_and_entropies).parameters)
    expected = ["self", "model", "input_ids", "attention_mask", "logits_to_keep", "batch_size", "compute_entropy"]
    assert scored[:7] == expected
    code = inspect.getsource(GRPOTrainer._generate_and_score_completions)
    for used in ("self._calculate_rewards(", '"advantages": advantages', 'self._logs["advantages"].extend('):
        assert used in code
    assert "self._pending_extra_logs" in inspect.getsource(GRPOTrainer._log_completion_extra)


@pytest.mark.parametrize("estimator", ["maxrl", "maxrl_unbiased", "rloo"])
def test_advantages_are_the_estimators_of_each_prompts_group(tokenizer, tmp_path, estimator):
    trainer = trainer_of(tokenizer, tmp_path, estimator=estimator, curriculum=False)
    call_them_finished(trainer)
    batch = one_batch(trainer)
    success = torch.tensor(first_token_is_low(batch["completion_ids"].tolist())).view(2, 4)
    torch.testing.assert_close(batch["advantages"], maxrl_advantages(success, estimator).flatten().float())
    assert list(trainer._logs["advantages"]) == batch["advantages"].tolist()


def test_a_completion_that_was_cut_off_is_a_failure(tokenizer, tmp_path):
    trainer = trainer_of(tokenizer, tmp_path, reward=lambda prompts, **columns: [1.0] * len(prompts))
    batch = one_batch(trainer)
    ended = (batch["completion_ids"] == tokenizer.eos_token_id).any(dim=1)
    assert not ended.all()
    assert trainer._success.tolist() == ended.float().tolist()


def test_what_the_judge_cannot_say_is_no_failure(tokenizer, tmp_path):
    def reward(completion_ids, **columns):
        return [None if number % 4 == 0 else 1.0 for number in range(len(completion_ids))]

    trainer = trainer_of(tokenizer, tmp_path, reward=reward, stop_at_function_end=False)
    batch = one_batch(trainer)
    assert trainer._success.isnan().tolist() == [number % 4 == 0 for number in range(8)]
    assert (batch["advantages"][trainer._success.isnan()] == 0).all()


def test_a_function_that_ends_ends_the_completion(tokenizer, tmp_path):
    """The head always takes the brace, so every completion is that token alone."""
    model = looped(tokenizer, tie_word_embeddings=False)
    brace = tokenizer("}")["input_ids"][-1]
    model.model.norm.weight.data.zero_()
    model.lm_head.weight.data.zero_()
    trainer = trainer_of(tokenizer, tmp_path, model, stop_at_function_end=True, curriculum=False)
    trainer.generation_config.sequence_bias = [[[brace], 100.0]]
    batch = one_batch(trainer)
    assert batch["completion_ids"].tolist() == [[brace]] * 8
    assert batch["completion_mask"].tolist() == [[1]] * 8
    assert trainer._metrics["train"]["truncated"] == [0]
    assert "generate" not in vars(trainer.policy), "the criterion is gone afterwards"


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("lora", [False, True])
def test_scored_log_probabilities_are_the_models_own(tokenizer, tmp_path, tied, lora):
    adapter = LoraConfig(r=4, target_modules=["q_proj", "down_proj"], init_lora_weights=False) if lora else None
    model = looped(tokenizer, tie_word_embeddings=tied)
    trainer = trainer_of(tokenizer, tmp_path, model, peft_config=adapter, temperature=0.7)
    tokens = torch.randint(3, len(tokenizer), (3, 12), generator=torch.Generator().manual_seed(0))
    trainer.model.eval()
    with torch.no_grad():
        scored, entropy, _ = trainer._get_per_token_logps_and_entropies(
            trainer.model, tokens, torch.ones_like(tokens), 5, compute_entropy=True
        )
        logits = trainer.model(input_ids=tokens).logits[:, -6:-1] / 0.7
    own = logits.log_softmax(-1)
    torch.testing.assert_close(scored, own.gather(-1, tokens[:, -5:, None]).squeeze(-1), rtol=0, atol=1e-5)
    torch.testing.assert_close(entropy, -(own.exp() * own).sum(-1), rtol=0, atol=1e-5)


@pytest.mark.parametrize("credit", ["uniform", "progressive", "exit_pdf"])
def test_loop_credit_weighs_each_loops_own_prediction(tokenizer, tmp_path, credit):
    trainer = trainer_of(tokenizer, tmp_path, loop_credit=credit, loop_credit_power=2.0)
    tokens = torch.randint(3, len(tokenizer), (2, 9), generator=torch.Generator().manual_seed(0))
    scored, _, _ = trainer._get_per_token_logps_and_entropies(trainer.model, tokens, torch.ones_like(tokens), 4)
    with torch.no_grad():
        by_loop = [trainer.model(tokens, exit_at_loop=loop).logits[:, -5:-1].log_softmax(-1) for loop in (1, 2, 3)]
        exit_pdf = trainer.model(tokens).exit_pdf[:, -5:-1]
    powers = torch.tensor([1.0, 4.0, 9.0]) / 14
    weights = {"uniform": torch.full_like(exit_pdf, 1 / 3), "progressive": powers.expand_as(exit_pdf)}
    weights = weights.get(credit, exit_pdf)
    expected = sum(
        weights[..., loop] * own.gather(-1, tokens[:, -4:, None]).squeeze(-1) for loop, own in enumerate(by_loop)
    )
    torch.testing.assert_close(scored, expected, rtol=0, atol=1e-5)
    scored.sum().backward()
    assert trainer.policy.model.exit_gate.weight.grad is None


def lora() -> LoraConfig:
    return LoraConfig(r=8, lora_alpha=32, target_modules="all-linear", exclude_modules=["lm_head", "exit_gate"])


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"loop_credit": "exit_pdf"},
        {"gradient_checkpointing": True},
        {"peft_config": lora(), "learning_rate": 0.1, "max_steps": 20},
    ],
    ids=["plain", "loop credit", "checkpointing", "lora"],
)
def test_training_makes_what_is_rewarded_likelier(tokenizer, tmp_path, settings):
    def chance(model) -> float:
        tokens = tokenizer(PROMPTS, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            return model.eval()(tokens).logits[:, -1].softmax(-1)[:, :140].sum(-1).mean().item()

    settings = dict(max_completion_length=1, per_device_train_batch_size=32, num_generations=8) | settings
    model = looped(tokenizer, initializer_range=0.3)
    trainer = trainer_of(
        tokenizer, tmp_path, model, **dict(learning_rate=3e-2, logging_steps=10, max_steps=10) | settings
    )
    call_them_finished(trainer)
    before, gate = chance(trainer.policy), trainer.policy.model.exit_gate.weight.clone()
    trainer.train()
    assert chance(trainer.policy) > before + 0.1
    assert torch.equal(trainer.policy.model.exit_gate.weight, gate)


def test_conversations_are_drawn_by_the_chat_template(tokenizer, tmp_path):
    heard = []

    def reward(prompts, completions, **columns):
        heard.extend(zip(prompts, completions, strict=True))
        return [0.0] * len(prompts)

    chatty = deepcopy(tokenizer)
    chatty.chat_template = "{% for message in messages %}<{{ message['content'] }}>{% endfor %}"
    rows = {"prompt": [[{"role": "user", "content": f"add {number}"}] for number in range(6)]}
    trainer = MaxRLTrainer(
        model=looped(tokenizer),
        reward_funcs=reward,
        args=arguments(tmp_path),
        train_dataset=Dataset.from_dict(rows),
        processing_class=chatty,
    )
    with pytest.raises(ValueError, match="stop_at_function_end must be False for conversations"):
        MaxRLTrainer(
            model=looped(tokenizer),
            reward_funcs=reward,
            args=arguments(tmp_path, stop_at_function_end=True),
            train_dataset=Dataset.from_dict(rows),
            processing_class=chatty,
        )
    batch = one_batch(trainer)
    drawn_from = chatty.decode(batch["prompt_ids"][0][batch["prompt_mask"][0].bool()])
    assert drawn_from == f"<{heard[0][0][0]['content']}>"
    assert [message["role"] for message in heard[0][1]] == ["assistant"]


def test_any_other_causal_model_can_be_trained(tokenizer, tmp_path):
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        **special_token_ids(tokenizer),
    )
    trainer = trainer_of(tokenizer, tmp_path, LlamaForCausalLM(config), max_steps=1)
    trainer.train()
    with pytest.raises(ValueError, match='loop_credit must be "final" for a model without loops'):
        trainer_of(tokenizer, tmp_path, LlamaForCausalLM(config), loop_credit="uniform")


def test_logs_tell_success_groups_and_pass_at_k(tokenizer, tmp_path):
    trainer = trainer_of(tokenizer, tmp_path, sample_steps=1)
    trainer.train()
    log = trainer.state.log_history[0]
    assert log["pass@1"] == pytest.approx(log["success_rate"])
    assert log["pass@1"] <= log["pass@2"] <= log["pass@4"]
    assert log["groups/zero_variance"] == pytest.approx(log["groups/all_failed"] + log["groups/all_passed"])
    assert {"truncated", "unscorable", "entropy", "completions/mean_length"} <= log.keys()
    page = (tmp_path / "samples" / "step_000000.html").read_text()
    assert page.count("<article") == 8 and "fn add_" in page and "://" not in page
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert {line["success_means"] for line in lines} == {"first_token_is_low is 1"}
    assert plot_maxrl(tmp_path) is not None, "also of a reward that gives no verdicts"
    assert "Success: first_token_is_low is 1" in page


def test_a_resumed_run_is_the_undisturbed_one(tokenizer, tmp_path):
    settings = dict(
        max_steps=4, save_strategy="steps", save_steps=2, estimator="maxrl_nobaseline", tiers=[0, 0, 0, 1, 1, 2]
    )
    whole = trainer_of(tokenizer, tmp_path / "whole", reward=even_length, **settings)
    whole.train()
    again = trainer_of(tokenizer, tmp_path / "whole", looped(tokenizer), reward=even_length, **settings)
    again.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-2"))
    assert again.curriculum.state() == whole.curriculum.state()
    assert json.loads((tmp_path / "whole/checkpoint-2/curriculum.json").read_text())["choices"] == 2
    for (name, one), other in zip(whole.model.named_parameters(), again.model.parameters(), strict=True):
        assert torch.equal(one, other), name
    names = ("loss", "success_rate", "groups/zero_variance", "entropy")
    last = [[log[name] for name in names] for log in (whole.state.log_history[3], again.state.log_history[3])]
    assert last[0] == pytest.approx(last[1], nan_ok=True)


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"estimator": "ppo"}, "estimator must be one of"),
        ({"loop_credit": "first"}, "loop_credit must be one of"),
        ({"num_generations": 1}, "at least 2 generations"),
        ({"scale_rewards": "group"}, "the estimator scales"),
        ({"mask_truncated_completions": True}, "a truncated completion counts as a failure"),
        ({"use_vllm": True}, "use_vllm must be False: vLLM keeps one set of keys"),
        ({"quality_weight": 0.5, "estimator": "rloo"}, "0 with estimators other than maxrl"),
        ({"gradient_checkpointing_kwargs": {"use_reentrant": True}}, "use_reentrant must be False"),
        ({"generation_kwargs": {"exit_at_loop": 1}}, "without early exit.*exit_at_loop"),
        ({"top_p": 0.9}, "sampled from the policy that is trained.*leave .*top_p"),
        ({"top_k": None}, "leave {'top_k': None} at their defaults .top_k: 0"),
        ({"temperature": 0.0}, "temperature must be above 0"),
        ({"disable_dropout": False}, "with dropout every forward pass has another policy"),
        ({"cache_implementation": "quantized"}, "leave {'cache_implementation': 'quantized'}"),
        ({"use_transformers_continuous_batching": True}, "cannot stop at the end of a function"),
        ({"max_completion_length": 250}, "leave room for max_completion_length=250 within the model's 256 positions"),
    ],
)
def test_settings_that_cannot_be_right_are_refused_with_the_reason(tokenizer, tmp_path, settings, rule):
    with pytest.raises(ValueError, match=rule):
        trainer_of(tokenizer, tmp_path, **settings)


def test_models_that_cannot_be_trained_so_are_refused(tokenizer, tmp_path):
    packed = looped(tokenizer)
    packed.config.weight_format = "packed"
    with pytest.raises(ValueError, match="must have latent weights"):
        trainer_of(tokenizer, tmp_path, packed)
    quantized = looped(tokenizer)
    quantized.config.quantization_config = {"load_in_4bit": True}
    with pytest.raises(ValueError, match="no QLoRA"):
        trainer_of(tokenizer, tmp_path, quantized)
    early = looped(tokenizer)
    early.config.exit_threshold = 0.5
    with pytest.raises(ValueError, match="without early exit.*exit_threshold=0.5"):
        trainer_of(tokenizer, tmp_path, early)


def test_what_the_model_came_with_does_not_change_how_is_drawn(tokenizer, tmp_path):
    model = looped(tokenizer)
    model.generation_config.suppress_tokens = list(range(3, len(tokenizer)))
    trainer = trainer_of(tokenizer, tmp_path, model)
    assert (one_batch(trainer)["completion_ids"] > 2).any()
    assert trainer.policy.generation_config.suppress_tokens


def test_rows_that_cannot_be_judged_are_refused_before_any_work(tokenizer, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ALLOW_CODE_EVAL", "1")
    with pytest.raises(ValueError, match="the data set must have the columns signature and checker, or tests"):
        trainer_of(tokenizer, tmp_path, reward=RustReward(workers=1))


def test_a_prompt_without_a_token_is_refused_by_its_number_also_where_it_is_only_evaluated(tokenizer, tmp_path):
    bare = deepcopy(tokenizer)
    bare.backend_tokenizer.post_processor = TemplateProcessing(single="$A")  # no token for the beginning
    settings = dict(model=looped(tokenizer), reward_funcs=even_length, processing_class=bare)
    full, empty = Dataset.from_dict({"prompt": PROMPTS}), Dataset.from_dict({"prompt": [*PROMPTS[:4], "", ""]})
    with pytest.raises(ValueError, match="at least one token to continue, row 4 has none"):
        MaxRLTrainer(**settings, args=arguments(tmp_path), train_dataset=empty)
    with pytest.raises(ValueError, match="at least one token to continue, row 4 has none"):
        MaxRLTrainer(**settings, args=arguments(tmp_path), train_dataset=full, eval_dataset={"held out": empty})


def test_only_one_reward_says_what_success_is_and_it_is_binary(tokenizer, tmp_path):
    with pytest.raises(ValueError, match="exactly one reward function"):
        trainer_of(tokenizer, tmp_path, reward=[first_token_is_low, even_length])
    graded = trainer_of(tokenizer, tmp_path, reward=lambda prompts, **columns: [0.5] * len(prompts))
    call_them_finished(graded)
    with pytest.raises(ValueError, match="success must be 0, 1 or NaN"):
        one_batch(graded)
    logged = trainer_of(tokenizer, tmp_path, reward=[first_token_is_low, even_length], reward_weights=[1.0, 0.0])
    assert math.isfinite(one_batch(logged)["advantages"].sum())


@pytest.mark.parametrize(
    "changed",
    [
        {"top_k": 5},
        {"top_p": 0.9},
        {"min_p": 0.1},
        {"temperature": 0.5},
        {"do_sample": False},
        {"num_beams": 2},
        {"repetition_penalty": 1.1},
        {"no_repeat_ngram_size": 2},
        {"suppress_tokens": [5]},
        {"bad_words_ids": [[5]]},
        {"min_new_tokens": 3},
        {"forced_eos_token_id": 2},
        {"guidance_scale": 1.5},
        {"eos_token_id": 5},
        {"max_new_tokens": 3},
        {"logits_processor": []},
        {"top_k": None},
        {"num_loops": 1},
        {"exit_threshold": 0.5},
    ],
    ids=lambda changed: "".join(changed),
)
def test_nothing_in_generation_kwargs_may_change_what_is_drawn(tmp_path, changed):
    with pytest.raises(ValueError, match=f"sampled from the policy that is trained.*{next(iter(changed))}"):
        arguments(tmp_path, generation_kwargs={"use_cache": True, "top_k": 0} | changed)


def filtered(model):
    """A model with filters and penalties in its generation configuration, as folders of the Hub may have."""
    settings = dict(top_k=5, min_p=0.2, repetition_penalty=1.5, no_repeat_ngram_size=2, min_new_tokens=3, num_beams=1)
    model.generation_config.update(**settings, suppress_tokens=[5, 6, 7], sequence_bias=[[[9], 4.0]])
    return model


@pytest.mark.parametrize(
    "case",
    [
        {},
        {"temperature": 0.6},
        {"temperature": 1.5, "loop_credit": "final", "peft_config": LoraConfig(target_modules=["q_proj", "v_proj"])},
        {"generation_kwargs": {"use_cache": False, "temperature": 1.0, "min_p": 0}},
        {"cache_implementation": "static"},
        {"loops": {"exit_at_loop": 2}},
    ],
    ids=["plain", "temperature", "lora", "without a cache", "static cache", "a fixed exit"],
)
def test_each_token_is_drawn_with_the_probability_that_is_trained(tokenizer, tmp_path, monkeypatch, case):
    """Whatever the model's own generation configuration says; what is drawn is seen where PyTorch draws it."""
    drawn, multinomial = [], torch.multinomial

    def draw(probabilities, *args, **kwargs):
        tokens = multinomial(probabilities, *args, **kwargs)
        drawn.append(probabilities.gather(1, tokens).squeeze(1).log())
        return tokens

    monkeypatch.setattr(torch, "multinomial", draw)
    case = dict(case)
    model = filtered(looped(tokenizer, initializer_range=0.3, **case.pop("loops", {})))
    trainer = trainer_of(tokenizer, tmp_path, model, **case)
    batch = one_batch(trainer)
    tokens = torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1)
    mask, length = torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1), batch["completion_ids"].shape[1]
    with torch.no_grad():
        trained, _, _ = trainer._get_per_token_logps_and_entropies(trainer.model, tokens, mask, length)
    mask = batch["completion_mask"].bool()
    torch.testing.assert_close(torch.stack(drawn, dim=1)[mask], trained[mask], rtol=0, atol=1e-4)
    assert trainer.policy.generation_config.suppress_tokens == [5, 6, 7], "the model keeps its own"
