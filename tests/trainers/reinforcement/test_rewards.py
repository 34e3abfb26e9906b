"""The reward as TRL calls it: what counts as finished, what is asked, what is logged, and what a failing tool does."""

from collections import defaultdict

import pytest

from evaluation.rust import RustVerifier, Verdict
from evaluation.rust.judging import LocalJudge
from evaluation.rust.verdict import CHECKS, CodeMetadata
from trainers.reinforcement import reward_rows
from trainers.reinforcement.graded_reward import GradedReward
from trainers.reinforcement.reward_rows import program_of
from trainers.reinforcement.rewards import RewardUnavailable, RustReward

PROMPT = "/// The larger of both.\nfn larger(a: i32, b: i32) -> i32 {"
SIGNATURE = "fn larger(a: i32, b: i32) -> i32;"
CHECKER = (
    "check!(larger(1, 2) == 2); check!(larger(5, -1) == 5); check!(larger(3, 3) == 3); check!(larger(0, 9) == 9);"
)
RIGHT = "\n    if a > b { a } else { b }\n}\n"
ALWAYS_FIRST = "\n    a + 0 * b\n}\n"


@pytest.fixture(autouse=True)
def consent(monkeypatch):
    monkeypatch.setenv("HF_ALLOW_CODE_EVAL", "1")


@pytest.fixture(scope="module")
def verifier():
    with RustVerifier(workers=1) as verifier:
        yield verifier


def rewarded(completions, prompts=None, reward=None, verifier=None, **columns):
    reward = reward or RustReward(workers=1)
    if verifier is not None:
        reward.judge = LocalJudge(verifier)
    columns = {"signature": SIGNATURE, "checker": CHECKER} | columns
    extra, metrics = defaultdict(list), {}
    found = reward(
        prompts=prompts or [PROMPT] * len(completions),
        completions=completions,
        completion_ids=[[1]] * len(completions),
        log_extra=lambda name, values: extra[name].extend(values),
        log_metric=lambda name, value: metrics.update({name: value}),
        **{name: [value] * len(completions) for name, value in columns.items() if value is not None},
    )
    return found, extra, metrics


def test_only_a_finished_right_function_succeeds(verifier):
    completions = [
        RIGHT,
        ALWAYS_FIRST,
        "\n    if a > b { a",
        "\n    a +\n}\n",
        RIGHT + "nonsense that comes after (((",
    ]
    found, extra, metrics = rewarded(completions, verifier=verifier)
    assert found == [1.0, 0.0, 0.0, 0.0, 1.0]
    assert extra["verdict"] == ["valid", "tests_failed", "unfinished", "invalid_syntax", "valid"]
    assert metrics["verdict/valid"] == 0.4 and metrics["compile_success_rate"] == pytest.approx(0.6)
    assert sum(value for name, value in metrics.items() if name.startswith("verdict/")) == pytest.approx(1)
    assert metrics["reward_seconds"] > 0 and "expected" in extra["message"][3]


def test_a_share_of_the_tests_is_enough_where_the_threshold_says_so(verifier):
    assert rewarded([ALWAYS_FIRST], reward=RustReward(reward_threshold=0.5), verifier=verifier)[0] == [1.0]
    assert rewarded([ALWAYS_FIRST], reward=RustReward(reward_threshold=0.75), verifier=verifier)[0] == [0.0]


def test_compiling_alone_is_a_mode_of_its_own(verifier):
    compiling = RustReward(mode="compile", workers=1)
    found, _, _ = rewarded([ALWAYS_FIRST, "\n    todo!()\n}\n"], reward=compiling, verifier=verifier, checker=None)
    assert found == [1.0, 0.0]
    assert compiling.__name__ == "rust_compiles"
    with pytest.raises(ValueError, match='row 0 must have hidden tests.*mode="compile"'):
        rewarded([RIGHT], verifier=verifier, checker=None)


def test_in_a_mixed_data_set_tests_decide_where_there_are_some(verifier):
    mixed = RustReward(mode="mixed", workers=1)
    mixed.judge = LocalJudge(verifier)
    completions, checkers = [RIGHT, ALWAYS_FIRST, ALWAYS_FIRST, "\n    c\n}\n"], [CHECKER, CHECKER, "", ""]
    metrics = {}
    columns = {"signature": [SIGNATURE] * 4, "checker": checkers}
    found = mixed([PROMPT] * 4, completions, log_metric=lambda *each: metrics.update([each]), **columns)
    assert found == [1.0, 0.0, 1.0, 0.0] and mixed.__name__ == "rust_success"
    assert (metrics["success_rate/tests"], metrics["success_rate/compile"]) == (0.5, 0.5)
    assert mixed.only_compile([PROMPT] * 4, columns) == [False, False, True, True]
    with pytest.raises(ValueError, match='pass_fraction must be False unless mode="tests"'):
        RustReward(mode="mixed", pass_fraction=True)


def test_one_column_of_tests_says_the_same_as_two(verifier):
    tests = f"{SIGNATURE}\n{CHECKER}"
    found, _, _ = rewarded([RIGHT, ALWAYS_FIRST], verifier=verifier, signature=None, checker=None, tests=tests)
    assert found == [1.0, 0.0]


def test_a_conversation_is_answered_in_its_last_block_of_rust(verifier):
    question = [{"role": "user", "content": "Write larger."}]
    program = f"{PROMPT}{RIGHT}"
    answers = [
        f"First a wrong one:\n```rust\n{PROMPT}{ALWAYS_FIRST}```\nBetter:\n```rust\n{program}```\n",
        f"```rust\n{program}```\nor\n```\nfn larger() {{}}\n```",
        f"```rust\n{program}",
        program,
    ]
    messages = [[{"role": "assistant", "content": answer}] for answer in answers]
    found, extra, _ = rewarded(messages, prompts=[question] * 4, verifier=verifier)
    assert found == [1.0, 1.0, 0.0, 1.0]
    assert extra["verdict"][2] == "unfinished"
    parts = [{"type": "text", "text": answers[0]}]
    assert program_of(question, [{"role": "assistant", "content": parts}]) == program


def test_a_message_without_text_is_unfinished_and_fails_alone(verifier):
    call = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "run", "arguments": {}}}]}
    messages = [
        [call],
        [{"role": "assistant", "content": None}],
        [],
        [{"role": "assistant", "content": PROMPT + RIGHT}],
    ]
    found, extra, _ = rewarded(
        messages, prompts=[[{"role": "user", "content": "Write larger."}]] * 4, verifier=verifier
    )
    assert found == [0.0, 0.0, 0.0, 1.0] and extra["verdict"][:3] == ["unfinished"] * 3
    assert rewarded([[call]], verifier=verifier)[0] == [0.0]


def test_equal_completions_are_compiled_once(verifier, monkeypatch):
    reached = []
    put = verifier.resources.cache.put
    monkeypatch.setattr(verifier.resources.cache, "put", lambda verdicts: (reached.extend(verdicts), put(verdicts)))
    body = "\n    std::cmp::max(a, b)\n}\n"
    assert rewarded([body] * 6, verifier=verifier)[0] == [1.0] * 6
    assert rewarded([body] * 6, verifier=verifier)[0] == [1.0] * 6
    assert len(reached) == 1


def test_unsafe_code_earns_nothing_whatever_the_seeds_reward_allows(verifier):
    body = "\n    let x = &a;\n    let y = unsafe { *(x as *const i32) };\n    if y > b { y } else { b }\n}\n"
    allowing = RustReward(graded_reward=GradedReward(max_unsafe_blocks=1))
    found, extra, _ = rewarded([body], reward=allowing, verifier=verifier)
    assert found == [0.0] and extra["verdict"] == ["refused"]


def verdict(status: str, errors: int = 0, check: str = "ok", **metadata) -> Verdict:
    counts = dict(complexity=1, unsafe_blocks=0, lifetime_complexity=0, trait_bounds=0, functions=1, nesting=1)
    found = CodeMetadata(**(counts | dict(bytes=10, difficulty=0.1) | metadata))
    return Verdict(status, dict.fromkeys(CHECKS, check), ("",) * errors, found)


def test_code_that_takes_the_compiler_down_is_a_failure_of_its_own():
    for status in ("compiler_crash", "timeout", "resource_limit", "refused"):
        assert RustReward().success(verdict(status, check="not_reached")) == 0


def test_the_seeds_reward_is_its_formula():
    seed = GradedReward()
    assert seed(verdict("valid", complexity=7)) == pytest.approx(1 + 0.07)
    assert seed(verdict("tests_failed", complexity=7, lifetime_complexity=2)) == pytest.approx(1 + 0.07 + 0.1)
    assert seed(verdict("valid", unsafe_blocks=1)) == pytest.approx(1 + 0.01 - 0.5)
    assert seed(verdict("semantic_error", errors=3, check="error")) == pytest.approx(0.2 / 4)
    assert seed(verdict("invalid_syntax", errors=1, check="not_reached")) == seed(None) == 0
    assert [seed.quality(verdict("valid", complexity=each)) for each in (10, 1000)] == [pytest.approx(0.1), 1.0]


def test_a_tool_that_fails_for_some_scores_these_as_unknown_and_for_all_ends_the_run(verifier, monkeypatch):
    failed = verdict("unavailable", check="not_reached")
    answers = [[verdict("refused"), failed], [verdict("valid")], [verdict("valid"), failed], [failed]]

    def verify(self, codes, tests=None, **options):
        return answers.pop(0)

    reward = RustReward()
    monkeypatch.setattr(RustVerifier, "verify", verify)
    assert rewarded([RIGHT, RIGHT], reward=reward)[0] == [0.0, None]
    with pytest.raises(RewardUnavailable, match="can no longer be judged"):
        rewarded([RIGHT, RIGHT], reward=reward)


def test_what_has_no_verdict_at_the_deadline_is_unknown_and_may_be_asked_again(verifier):
    codes = [f"pub const NUMBER: u32 = {number};" for number in range(3)]
    late = verifier.verify(codes, deadline=1e-6)
    assert [verdict.status for verdict in late] == ["unavailable"] * 3
    assert "within the deadline of 1e-06 seconds" in late[0].diagnostics[0].message
    assert [verdict.status for verdict in verifier.verify(codes)] == ["valid"] * 3


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"mode": "tokens"}, "mode must be tests, compile or mixed"),
        ({"reward_threshold": 1.5}, "reward_threshold must be above 0 and at most 1, a share of tests, got 1.5"),
        ({"deadline": 0}, "deadline must be a positive number"),
    ],
)
def test_bad_settings_are_refused(settings, rule):
    with pytest.raises(ValueError, match=rule):
        RustReward(**settings)
    with pytest.raises(ValueError, match="partial_reward must be at least 0"):
        GradedReward(partial_reward=-1)


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [
        ("", "ends within a function"),
        ("Write a function that returns the larger of two numbers.", "ends within a function"),
        ("fn larger(a: i32, b: i32) -> i32", "ends within a function"),
        (f"{PROMPT} a }}", "ends within a function"),
        (f"mod numbers {{ {PROMPT}", "ends within a function"),
        (f"{PROMPT} if a > b {{", "ends within a function"),
        (f"Complete this: {PROMPT}", "is Rust up to the function to complete"),
        ("fn largest(a: i32, b: i32) -> i32 {", "no function body can add fn larger"),
        (f"fn peek(a: &i32) -> i32 {{ unsafe {{ *(a as *const i32) }} }}\n{PROMPT}", "it has unsafe code"),
    ],
)
def test_a_row_whose_prompt_nothing_can_complete_is_refused_by_its_number(verifier, prompt, reason):
    reward = RustReward(workers=1)
    reward.judge = LocalJudge(verifier)
    columns = {"signature": [SIGNATURE] * 2, "checker": [CHECKER] * 2}
    with pytest.raises(ValueError, match=f"row 1 must have a prompt that .*{reason}"):
        reward.check_rows([PROMPT, prompt], columns)
    with pytest.raises(ValueError, match=f"row 1 must have a prompt that .*{reason}"):
        reward(prompts=[PROMPT, prompt], completions=[RIGHT, RIGHT], **columns)
    reward.check_rows([PROMPT, [{"role": "user", "content": prompt}]], columns)


@pytest.mark.parametrize(
    "prompt",
    [
        f"{PROMPT}\n    let sign = if a > b {{ 1 }} else {{ -1 }};\n    if sign > (",
        "struct Pair<const N: usize>([i32; N]);\nfn size() -> Pair<{ 1 + 1 }> { Pair([0; 2]) }\n" + PROMPT,
        "trait Two { fn one(&self); fn two(&self) {} }\nfn larger(a: i32, b: i32) -> i32 where [(); { 3 }]: Sized {",
        "fn larger(a: i32, b: i32) -> i32 { // {",
        'fn larger(a: i32, b: i32) -> i32 { let text = "{ {',
    ],
)
def test_a_prompt_may_end_anywhere_in_the_function_it_leaves_open(verifier, prompt):
    reward = RustReward(workers=1)
    reward.judge = LocalJudge(verifier)
    reward.check_rows([prompt], {"signature": [SIGNATURE], "checker": [CHECKER]})


def test_the_reward_says_what_success_means():
    meanings = [RustReward(), RustReward(reward_threshold=0.5), RustReward(mode="compile"), RustReward("mixed")]
    assert [reward.success_means for reward in meanings] == [
        "all hidden tests hold",
        "at least 50% of the hidden tests hold",
        "compiles with the given signature",
        "all hidden tests hold; without tests, compiles with the given signature",
    ]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"unit_tests": ["x"]},
            "must have the columns signature and checker, or tests, beside prompt, got unit_tests",
        ),
        ({"tests": [["fn f();"]]}, "row 0 must have a text in tests, got list: docs/tasks.md shows its form"),
        ({"tests": [{"signature": "fn f();"}]}, "row 0 must have a text in tests, got dict"),
        ({"tests": ["assert!(true);"]}, r"row 0 must have a signature .*; its tests are 'assert!\(true\);'"),
        ({"tests": ["x"] * 2}, "tests must be as many as prompts, got 2 and 1"),
    ],
)
def test_columns_that_hold_no_tests_are_named_with_what_they_hold(columns, message):
    with pytest.raises(ValueError, match=message):
        reward_rows.tests_of_rows([PROMPT], columns, "tests")


def test_completions_of_another_number_are_refused(verifier):
    with pytest.raises(ValueError, match="completions must be as many as prompts, got 2 and 1"):
        rewarded([RIGHT, RIGHT], [PROMPT], verifier=verifier)
