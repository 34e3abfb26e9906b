"""The user's own tasks in a recipe: checked before anything is trained, kept, split by their ids, and trained on."""

import json
from dataclasses import asdict, replace

import pytest
from tokenizers import Tokenizer
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast

from evaluation.rust.sandbox.runner import CodeExecutionNotAllowed
from modeling_nanochat import LoopLMForCausalLM
from recipes.__main__ import all_recipes
from recipes.pipeline.data_settings import DataSettings
from recipes.pipeline.file_names import COMPILE_FUNCTIONS_FILE, COMPILE_TASKS_FILE, OWN_TASKS_FILE, TASKS_FILE
from recipes.pipeline.initial_model import InitialModel
from recipes.pipeline.run import finish
from recipes.pipeline.run_tasks import RunTasks, check_conversations, read_run_tasks
from recipes.pipeline.settings import with_settings
from recipes.pipeline.stages.maxrl import MaxRL
from recipes.pipeline.stages.reinforced import Reinforced
from recipes.pipeline.start import start
from tests.helpers.paths import BUILTIN
from tests.helpers.planted import CHAT
from tests.helpers.tasks import TASK
from tests.helpers.tiny_recipe import tiny_recipe, with_later
from trainers.data.tasks import OwnTask, task_prompts
from trainers.data.tasks.own_files import write_own_tasks
from trainers.data.tasks.task import SPLITS
from trainers.data.tokenizer import train_tokenizer

CASES = [{"stdin": "1", "expected": "1"}, {"stdin": "2", "expected": "2"}]
ECHO = ' print!("{}", std::io::read_to_string(std::io::stdin()).unwrap()); }'


def row(name, **columns):
    return {"id": str(name), "prompt": f"// {name}\nfn main() {{", "stdin_tests": CASES} | columns


def split_of(count, folder):
    write_own_tasks([OwnTask.of_row(row(number)) for number in range(count)], folder / OWN_TASKS_FILE)
    tasks = read_run_tasks(DataSettings(task_file="anything"), folder)
    return {task.id for task in tasks.training}, {task.id for task in tasks.held_out}


def test_a_task_stays_on_its_side_when_others_are_added(tmp_path):
    training, held_out = split_of(200, tmp_path)
    more_training, more_held_out = split_of(300, tmp_path)
    assert training < more_training and held_out < more_held_out
    assert 0.05 < len(held_out) / 200 < 0.15
    assert len(split_of(2, tmp_path)[1]) == 1


@pytest.mark.parametrize(
    ("splits", "held_out"),
    [
        (["train", "train", "held_out_family"], ["2"]),
        (["train", "train", "held_out_family", "held_out_parameters"], ["3"]),
    ],
)
def test_made_tasks_of_other_families_are_held_out_where_known_families_have_none(tmp_path, splits, held_out):
    rows = [asdict(replace(TASK, id=str(index), split=split)) for index, split in enumerate(splits)]
    (tmp_path / TASKS_FILE).write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert [task.id for task in read_run_tasks(DataSettings(tasks=96), tmp_path).held_out] == held_out


def test_tasks_to_compile_are_trained_on_without_their_tests_and_never_measured(tmp_path):
    rows = [asdict(replace(TASK, id=str(index), split=split)) for index, split in enumerate(SPLITS)]
    (tmp_path / COMPILE_TASKS_FILE).write_text("".join(json.dumps(row) + "\n" for row in rows))
    tasks = read_run_tasks(DataSettings(max_task_tier=0, compile_tasks=3), tmp_path)
    assert [task.id for task in tasks.all] == [task.id for task in tasks.compiled] == ["0"]
    tested, compiled = task_prompts([TASK], compiled=tasks.compiled)
    assert tested["checker"] == TASK.checker and compiled["checker"] == ""
    assert compiled["signature"] == TASK.signature and compiled["tier"] > 4 >= tested["tier"]


def test_functions_and_tasks_to_compile_are_one_kind_of_prompts(tmp_path):
    for name, ids in ((COMPILE_TASKS_FILE, ("0",)), (COMPILE_FUNCTIONS_FILE, ("1", "2"))):
        rows = [asdict(replace(TASK, id=number, checker="")) for number in ids]
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    tasks = read_run_tasks(DataSettings(max_task_tier=0, compile_tasks=1, compile_functions=2), tmp_path)
    rows = task_prompts([TASK], compiled=tasks.compiled)
    assert rows["id"] == [TASK.id, "0", "1", "2"]
    assert rows["checker"] == [TASK.checker, "", "", ""] and rows["tier"][0] < min(rows["tier"][1:])


@pytest.mark.parametrize(
    "settings", [{"data.compile_tasks": "0", "data.compile_functions": "0"}, {"maxrl.mode": "compile"}]
)
def test_a_share_of_prompts_to_compile_needs_both_kinds(settings):
    given = {"data.compile_tasks": "8", "data.max_task_tier": "1", "maxrl.compile_share": "0.5"} | settings
    with pytest.raises(ValueError, match="maxrl.compile_share must be None without data.compile_tasks"):
        with_settings(all_recipes()["finetune"], [f"{name}={value}" for name, value in given.items()])


@pytest.mark.parametrize("tier", [None, 4])
def test_tasks_to_compile_need_tiers_above_those_of_the_tests(tier):
    with pytest.raises(ValueError, match="data.compile_tasks must be 0 without a max_task_tier below 4"):
        DataSettings(max_task_tier=tier, compile_tasks=8)


def test_conversations_and_texts_do_not_mix(tmp_path):
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(BPE()))
    text = OwnTask.of_row(row("text"))
    chats = [replace(text, id=str(count), prompt=({"role": "user", "content": "?"},) * count) for count in (1, 2)]
    for others in ([text], [chats[1]]):
        with pytest.raises(ValueError, match="all tasks of a run must be texts, or all conversations of one message"):
            check_conversations(RunTasks([chats[0]], others), tokenizer)
    with pytest.raises(ValueError, match="messages need a model whose tokenizer has a chat template"):
        check_conversations(RunTasks([chats[0]], [chats[0]]), tokenizer)


def test_faults_of_the_task_file_are_found_before_the_run_begins(tmp_path, monkeypatch):
    maxrl = MaxRL(total_steps=1, prompts_per_step=2, max_completion_length=8)
    path = tmp_path / "tasks.jsonl"
    path.write_text(json.dumps(row(1)) + "\n" + json.dumps(row(2, tier=9)))
    recipe = with_later(tiny_recipe(tmp_path).changed(data={"task_file": str(path)}), maxrl)
    monkeypatch.delenv("HF_ALLOW_CODE_EVAL", raising=False)
    with pytest.raises(CodeExecutionNotAllowed, match="the solutions of the tasks in data.task_file"):
        start(recipe)
    monkeypatch.setenv("HF_ALLOW_CODE_EVAL", "1")
    with pytest.raises(ValueError, match=r"tasks.jsonl, line 2: tier must be a whole number from 0 to 4, got 9"):
        start(recipe)
    assert [each.name for each in tmp_path.iterdir()] == ["tasks.jsonl"]
    with pytest.raises(ValueError, match=r"data.task_crates must be left out without a task_file"):
        recipe.changed(data={"task_file": None, "task_crates": tmp_path})


@pytest.mark.slow
def test_reinforcement_learning_trains_on_own_tasks_of_several_kinds(tmp_path, monkeypatch, capsys, no_clean_process):
    monkeypatch.setenv("HF_ALLOW_CODE_EVAL", "1")
    monkeypatch.setattr("sys.argv", ["recipes/debug.py"])
    rust = {"prompt": "fn f(a: u8) -> u8 {", "tests": "fn f(a: u8) -> u8;\ncheck!(f(1) == 2);", "solution": " a + 1 }"}
    wrong = row("wrong", solution=" }")
    path = tmp_path / "tasks.jsonl"
    rows = [rust, wrong, *(row(number, solution=ECHO) for number in range(6))]
    path.write_text("\n".join(map(json.dumps, rows)))
    toy = all_recipes()["debug"].toy()
    stages = tuple(stage for stage in toy.stages if stage.name != "tasks")
    recipe = toy.changed(
        data={"tasks": 0, "task_file": str(path), "synthetic_samples": 0, "verified_sample": 0},
        training={"eval_prompts": 0},
        stages=stages,
        output_dir=tmp_path,
    ).changed(export={"gguf": None}, maxrl={"mode": "tests", "max_completion_length": 8})
    assert finish(recipe, start(recipe)) is None
    told = " ".join(capsys.readouterr().out.split())
    assert "7 tasks accepted (1 with Rust tests, 6 with stdin tests), 1 refused" in told
    assert Reinforced.read(recipe.run_dir / "maxrl" / "finished.json").tasks == 1
    path.unlink()
    finish(recipe, start(recipe, resume=True))


def conversations(tmp_path):
    message = {"role": "user", "content": "Print the input."}
    row = {"messages": [message], "stdin_tests": CASES, "solution": f"fn main() {{{ECHO}"}
    return [row | {"id": str(number)} for number in range(6)], {}


def functions_of_a_crate(tmp_path):
    crate = tmp_path / "crates" / "sides"
    (crate / "src").mkdir(parents=True)
    (crate / "Cargo.toml").write_text('[package]\nname = "sides"\nversion = "1.0.0"\nlicense = "MIT"\n')
    names = [f"area_{number}" for number in range(6)]
    body = "    let height = side;\n    side.wrapping_mul(height)\n"
    functions = [f"pub fn {name}(side: u32) -> u32 {{\n{body}}}\n" for name in names]
    tests = [f"    #[test]\n    fn {name}() {{ assert_eq!(super::{name}(3), 9); }}\n" for name in names]
    (crate / "src" / "lib.rs").write_text("".join(functions) + "#[cfg(test)]\nmod tests {\n" + "".join(tests) + "}\n")
    rows = []
    for name, code in zip(names, functions, strict=True):
        prompt, brace, body = code.partition("{")
        row = {"id": name, "crate": "sides", "version": "1.0.0", "function": name, "tests": [f"tests::{name}"]}
        rows.append(row | {"prompt": prompt + brace, "solution": body.rstrip()})
    return rows, {"task_crates": crate.parent}


@pytest.mark.slow
@pytest.mark.parametrize("make", [conversations, functions_of_a_crate])
def test_reinforcement_learning_trains_on_conversations_and_on_functions_of_crates(
    tmp_path, monkeypatch, capsys, no_clean_process, make
):
    monkeypatch.setenv("HF_ALLOW_CODE_EVAL", "1")
    monkeypatch.setattr("sys.argv", ["recipes/debug.py"])
    rows, data = make(tmp_path)
    (tmp_path / "tasks.jsonl").write_text("\n".join(map(json.dumps, rows)))
    maxrl = MaxRL(total_steps=1, prompts_per_step=2, num_generations=2, max_completion_length=8, samples=2)
    recipe = tiny_recipe(tmp_path / "runs", total_steps=2, save_steps=2, warmup_steps=0, decay_steps=0)
    data |= {"task_file": str(tmp_path / "tasks.jsonl"), "verified_sample": 0}
    recipe = with_later(recipe.changed(data=data), maxrl).changed(export={"gguf": None})
    saved = tmp_path / "saved"
    LoopLMForCausalLM(recipe.model).save_pretrained(saved)
    tokenizer = train_tokenizer([path.read_text() for path in BUILTIN.glob("*.rs")], recipe.model.vocab_size, 32)
    tokenizer.chat_template = CHAT.template
    tokenizer.save_pretrained(saved)
    recipe = with_settings(recipe, [], InitialModel.read(saved))
    assert finish(recipe, start(recipe)) is None
    assert "6 tasks accepted" in " ".join(capsys.readouterr().out.split())
    assert Reinforced.read(recipe.run_dir / "maxrl" / "finished.json").tasks == 1
