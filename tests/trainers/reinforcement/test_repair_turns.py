"""Further tries of completions that fail: what they are asked, which tokens are trained, and what is not told."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from datasets import Dataset

from evaluation.rust import HiddenTests, RustVerifier
from evaluation.rust.judging import LocalJudge
from evaluation.rust.verdict import Diagnostic
from evaluation.suites.repair_format import correction, message_of, second_prompt
from tests.helpers.gguf_models import TOKENIZER as MEMORIZED
from tests.helpers.memorized import EITHER, memorized_model
from tests.helpers.reinforcement import arguments, looped
from trainers.callbacks import PlotCallback
from trainers.data.tokenizer import train_tokenizer
from trainers.reinforcement.maxrl import MaxRLTrainer
from trainers.reinforcement.repair_turns import repair_metrics
from trainers.reinforcement.rewards import RustReward

PROMPT = "/// The larger of both.\nfn larger(a: u8, b: u8) -> u8 {"
SIGNATURE, CHECKER = "fn larger(a: u8, b: u8) -> u8;", "check!(larger(1, 2) == 2); check!(larger(77, 6) == 77);"
RIGHT, WRONG, BROKEN = "\n    a.max(b)\n}", "\n    a + b - b\n}", "\n    let wrong: bool = 1;\n    a.max(b)\n}"
TOKENIZER = train_tokenizer([PROMPT + body for body in (RIGHT, WRONG, BROKEN)], 300, 2048)


class Scripted(MaxRLTrainer):
    """Trainer whose policy is a list of texts for each turn; None is a try that does not end."""

    script: list[list[str | None]]

    def draw(self, prompt_ids, functions=None, room=None, **others):
        self.asked.append((prompt_ids, functions, room))
        texts = self.script[len(self.asked) - 1]
        end = [] if self.args.stop_at_function_end else [TOKENIZER.eos_token_id]
        ids = [TOKENIZER(text or "x", add_special_tokens=False)["input_ids"] + end for text in texts]
        return ids, [text is not None for text in texts]

    def __init__(self, *args, **kwargs):
        self.asked = []
        super().__init__(*args, **kwargs)


@pytest.fixture(autouse=True)
def consent(monkeypatch):
    monkeypatch.setenv("HF_ALLOW_CODE_EVAL", "1")


@pytest.fixture(scope="module")
def verifier():
    with RustVerifier(workers=1) as verifier:
        yield verifier


def scripted(folder, verifier, script, prompt=PROMPT, tokenizer=TOKENIZER, **settings):
    reward = RustReward(workers=1)
    reward.judge = LocalJudge(verifier)
    defaults = dict(
        repair_turns=1,
        per_device_train_batch_size=4,
        max_completion_length=1000,
        curriculum=False,
        stop_at_function_end=isinstance(prompt, str),
        sample_steps=0,
    )
    trainer = Scripted(
        model=looped(TOKENIZER, max_position_embeddings=2048),
        reward_funcs=[reward],
        args=arguments(folder, **(defaults | settings)),
        train_dataset=Dataset.from_list([{"prompt": prompt, "signature": SIGNATURE, "checker": CHECKER}]),
        processing_class=tokenizer,
    )
    trainer.remove_callback(PlotCallback)
    trainer.script = script
    return trainer


def one_batch(trainer) -> dict:
    trainer.model.train()
    return trainer._generate_and_score_completions([trainer.train_dataset[0] for _ in range(4)])


@pytest.mark.parametrize("credit", ["trajectory", "last_turn"])
def test_a_failed_try_is_told_why_and_only_tries_are_trained(tmp_path, verifier, credit):
    trainer = scripted(tmp_path, verifier, [[RIGHT, BROKEN, WRONG, None], [RIGHT, BROKEN]], repair_credit=credit)
    batch = one_batch(trainer)
    (_, (again, functions, _)) = trainer.asked
    assert functions == [PROMPT, PROMPT], "each try continues the prompt's function"
    (broken, wrong) = verifier.verify(
        [PROMPT + BROKEN, PROMPT + WRONG], HiddenTests(SIGNATURE, CHECKER), rules="reward"
    )
    for ids, body, verdict in zip(again, (BROKEN, WRONG), (broken, wrong), strict=True):
        question = second_prompt(PROMPT, PROMPT + body, message_of(verdict))
        assert TOKENIZER.decode(ids) == f"{TOKENIZER.bos_token or ''}{PROMPT}{body}\n\n{question}"
    assert trainer._success.tolist() == [1, 1, 0, 0]
    row, mask = batch["completion_ids"][1], batch["tool_mask"][1].bool() & batch["completion_mask"][1].bool()
    assert TOKENIZER.decode(row[mask]) == BROKEN + RIGHT, "the message is no part of the loss"
    assert batch["num_items_in_batch"] == (batch["tool_mask"] * batch["completion_mask"]).sum()
    first = len(TOKENIZER(BROKEN, add_special_tokens=False)["input_ids"])
    if credit == "last_turn":
        assert (batch["advantages"][1, :first] == 0).all()
        assert TOKENIZER.decode(row[batch["advantages"][1] != 0]) == RIGHT
    else:
        assert batch["advantages"].tolist() == [1, 1, -1, -1]
    logged = {name: values[-1] for name, values in trainer._metrics["train"].items()}
    assert (logged["success_at_turn/1"], logged["success_at_turn/2"]) == (0.25, 0.5)
    assert (logged["repair/asked_again"], logged["repair/repaired"], logged["truncated"]) == (0.5, 0.5, 0.25)


@pytest.mark.parametrize("credit", ["trajectory", "last_turn"])
def test_a_step_with_further_tries_is_trained(tmp_path, verifier, credit):
    script = [[RIGHT, BROKEN, WRONG, None], [RIGHT, BROKEN]]
    trainer = scripted(tmp_path, verifier, script, repair_credit=credit, max_steps=1)
    before = trainer.policy.lm_head.weight.detach().clone()
    trainer.train()
    assert trainer.state.log_history[0]["rows_trained"] == 1
    assert not torch.equal(before, trainer.policy.lm_head.weight)


def test_a_conversation_goes_on_as_the_template_writes_it(tmp_path, verifier):
    chatty = deepcopy(TOKENIZER)
    chatty.chat_template = (
        "{% for message in messages %}<{{ message['role'] }}>{{ message['content'] }}{% if message['role'] =="
        " 'assistant' %}{{ eos_token }}{% endif %}\n{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    answer = f"So:\n```rust\n{PROMPT}{BROKEN}\n```\n"
    question = [{"role": "user", "content": "Write larger."}]
    script = [[answer] * 4, [f"```rust\n{PROMPT}{RIGHT}\n```\n"] * 4]
    trainer = scripted(tmp_path, verifier, script, prompt=question, tokenizer=chatty)
    one_batch(trainer)
    assert trainer._success.tolist() == [1] * 4
    (told,) = verifier.verify([f"{PROMPT}{BROKEN}\n"], HiddenTests(SIGNATURE, CHECKER), rules="reward")
    conversation = [
        *question,
        {"role": "assistant", "content": answer},
        {"role": "user", "content": correction(message_of(told))},
    ]
    expected = chatty.apply_chat_template(conversation, add_generation_prompt=True, tokenize=False)
    assert chatty.decode(trainer.asked[1][0][0]) == expected


def test_without_room_for_message_and_try_nothing_is_asked(tmp_path, verifier):
    script = [[BROKEN] * 4, [RIGHT] * 4]
    one_batch(trainer := scripted(tmp_path, verifier, script))
    (row, *_), length = trainer.repair.rows, len(TOKENIZER(BROKEN, add_special_tokens=False)["input_ids"])
    needed = len(row.mask) - len(row.last_ids) + length
    assert trainer.asked[1][2] == [1000 - needed + length] * 4
    for room, asked in ((needed, 2), (needed - 1, 1)):
        one_batch(trainer := scripted(tmp_path, verifier, script, max_completion_length=room))
        assert len(trainer.asked) == asked


@pytest.mark.parametrize("engine", ["torch", "native"])
def test_each_try_has_its_own_room(tmp_path, verifier, engine):
    trainer = scripted(tmp_path, verifier, [], rollout_engine=engine)
    prompt_ids = [TOKENIZER(PROMPT)["input_ids"]] * 3
    completion_ids, finished = MaxRLTrainer.draw(trainer, prompt_ids, [PROMPT] * 3, [1, 3, 7])
    for ids, ended, room in zip(completion_ids, finished, (1, 3, 7), strict=True):
        assert len(ids) <= room and (ended or len(ids) == room or ids[-1] == TOKENIZER.eos_token_id)


LEAKS = {
    "include": 'compile_error!(include_str!("checker.rs"));',
    "include from above": 'const X: &str = include_str!("../checker/src/lib.rs"); let _: u8 = X;',
    "constant panic": 'const _: () = panic!("the tests"); 0',
    "environment": 'compile_error!(env!("CARGO_MANIFEST_DIR"));',
    "panic with the arguments": 'panic!("{a} {b}")',
    "overflow at run time": "a - 200 - b",
    "print": 'println!("{a} {b}"); eprintln!("{a} {b}"); 0',
    "unknown name": "checker::TESTS",
    "macro of the checker": "check!(larger(1, 2) == 2); 0",
    "another result": "a.max(b) as u16",
}


def test_no_message_tells_what_the_tests_are(verifier):
    # 77 is in the checker alone.
    codes = [f"{PROMPT}\n    {body}\n}}" for body in LEAKS.values()]
    for name, verdict in zip(
        LEAKS, verifier.verify(codes, HiddenTests(SIGNATURE, CHECKER), rules="reward"), strict=True
    ):
        assert not verdict.ok and "77" not in message_of(verdict), name
    # A type of the candidate does not fit the checker, which is compiled with it.
    tests = HiddenTests("struct Stack;", "let mut s = Stack::new(); s.push(77); check!(s.pop() == Some(77));")
    (verdict,) = verifier.verify(["pub struct Stack;"], tests, rules="reward")
    assert not verdict.ok and "77" not in message_of(verdict)
    shown = Diagnostic("E0277", "traits", "no", 3, 5, "error: no\n --> candidate.rs:3:5\n  |\n3 | mine")
    other = replace(shown, rendered=f"{shown.rendered}\n  ::: crate/src/lib.rs:9:1\n  |\n9 | assert_eq!(f(77), 1)")
    failed = replace(verdict, status="semantic_error", diagnostics=(other, shown))
    assert message_of(failed) == shown.rendered
    assert message_of(replace(failed, diagnostics=(other,))) == "It does not compile."


def test_success_by_turn_counts_what_was_judged():
    success = torch.tensor([1.0, 1.0, 0.0, float("nan"), 1.0, 0.5])
    metrics = repair_metrics(success, torch.tensor([1, 2, 3, 2, 3, 1]), 2)
    assert [metrics[f"success_at_turn/{turn}"] for turn in (1, 2, 3)] == pytest.approx([0.2, 0.4, 0.6])
    assert metrics["repair/asked_again"] == pytest.approx(4 / 6) and metrics["repair/repaired"] == 0.5


def test_what_further_tries_need_is_checked_first(tmp_path, verifier):
    with pytest.raises(ValueError, match="repair_turns must be at least 0, got -1"):
        scripted(tmp_path, verifier, [], repair_turns=-1)
    with pytest.raises(ValueError, match="repair_credit must be one of trajectory, last_turn, got 'all'"):
        scripted(tmp_path, verifier, [], repair_credit="all")
    with pytest.raises(ValueError, match="unless the reward function that decides on success is a RustReward"):
        MaxRLTrainer(
            model=looped(TOKENIZER),
            reward_funcs=lambda prompts, **columns: [0.0] * len(prompts),
            args=arguments(tmp_path, repair_turns=1, curriculum=False),
            train_dataset=Dataset.from_dict({"prompt": [PROMPT]}),
            processing_class=TOKENIZER,
        )
    forgetful = deepcopy(TOKENIZER)
    forgetful.chat_template = "{{ messages[-1]['content'] }}"
    with pytest.raises(ValueError, match="repair_turns must be 0 with this chat template"):
        scripted(tmp_path, verifier, [], prompt=[{"role": "user", "content": "Write."}], tokenizer=forgetful)
    with pytest.raises(ValueError, match="pass_fraction of the reward must be False with estimators other than grpo"):
        MaxRLTrainer(
            model=looped(TOKENIZER),
            reward_funcs=RustReward(workers=1, pass_fraction=True),
            args=arguments(tmp_path, curriculum=False),
            train_dataset=Dataset.from_dict({"prompt": [PROMPT], "signature": [SIGNATURE], "checker": [CHECKER]}),
            processing_class=TOKENIZER,
        )


def test_a_resumed_run_asks_again_and_trains_as_the_undisturbed_one(tmp_path, verifier):
    model = memorized_model()

    def runs() -> MaxRLTrainer:
        reward = RustReward(workers=1)
        reward.judge = LocalJudge(verifier)
        settings = dict(
            repair_turns=1,
            rollout_engine="native",
            per_device_train_batch_size=4,
            stop_at_function_end=True,
            max_completion_length=600,
            max_steps=2,
            save_strategy="steps",
            save_steps=1,
            learning_rate=1e-3,
            sample_steps=0,
        )
        task = {"prompt": EITHER[0], "signature": "fn any() -> bool;", "checker": "check!(any());"}
        trainer = MaxRLTrainer(
            model=deepcopy(model),
            reward_funcs=[reward],
            args=arguments(tmp_path, **settings),
            train_dataset=Dataset.from_list([task]),
            processing_class=MEMORIZED,
        )
        trainer.remove_callback(PlotCallback)
        return trainer

    whole, again = runs(), runs()
    whole.train()
    again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-1"))
    for (name, one), other in zip(whole.policy.named_parameters(), again.policy.parameters(), strict=True):
        assert torch.equal(one, other), name
    names = ("loss", "success_at_turn/1", "success_at_turn/2", "repair/asked_again")
    last = [{name: trainer.state.log_history[1][name] for name in names} for trainer in (whole, again)]
    assert last[0] == last[1]
    assert any(log["repair/asked_again"] for log in whole.state.log_history[:2])
