"""The console command: every command of the project, found without importing the others."""

import re
import subprocess
import sys

import pytest

from nanochat_ternary.__main__ import main
from nanochat_ternary.commands import COMMANDS, Command, Group

LEAVES = [([name], entry) for name, entry in COMMANDS.items() if isinstance(entry, Command)]
LEAVES += [
    ([group, name], entry)
    for group, found in COMMANDS.items()
    if isinstance(found, Group)
    for name, entry in found.commands.items()
]


@pytest.mark.parametrize("words, command", LEAVES, ids=lambda each: "-".join(each) if isinstance(each, list) else "")
def test_every_command_has_its_own_help_under_its_name(words, command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([*words, "--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: nanochat-ternary {' '.join(words)} ")


def test_the_list_of_commands_imports_none_of_them():
    script = (
        "import sys\nfrom nanochat_ternary.__main__ import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "print(sorted(m for m in sys.modules if m.split('.')[0] in ('recipes', 'trainers', 'model_cards')))"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout
    assert shown.splitlines()[-1] == "[]"
    assert all(re.search(rf"^    {name}\b", shown, re.MULTILINE) for name in COMMANDS)


@pytest.mark.parametrize("words", [["train", "unknown"], ["complete", "--model", "/nowhere"]])
def test_an_error_is_one_line_with_the_command(words, capsys):
    assert main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"nanochat-ternary {words[0]}: ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["eval", "run", "--model", "x", "--suite", "humaneval"],
            "eval run: argument --suite: invalid choice: '",
        ),
        (["train", "debug", "--fast"], "train: unrecognized arguments: --fast"),
        (["publish"], "publish: the following arguments are required: --model"),
    ],
)
def test_a_faulty_option_is_one_line_with_the_command(words, said, capsys):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"nanochat-ternary {said}") and line.endswith("(see --help)")


def test_a_recipe_in_a_file_of_ones_own_is_trained_by_its_path(tmp_path, capsys):
    recipe = tmp_path / "mine.py"
    recipe.write_text(
        "from recipes.base import small\n\n\ndef mine():\n"
        "    return small().changed(name='mine', description='a recipe of my own')\n"
    )
    assert main(["train", str(recipe), "--show", "--set", "pretrain.peak_lr=1e-3"]) == 0
    shown = capsys.readouterr().out
    assert "mine: a recipe of my own" in shown and "0.001" in shown


def test_a_function_that_makes_no_recipe_is_one_line(tmp_path, capsys):
    (tmp_path / "mine.py").write_text("def mine():\n    return {}\n")
    with pytest.raises(SystemExit):
        main(["train", str(tmp_path / "mine.py"), "--show"])
    assert capsys.readouterr().err.endswith("error: mine() must return a Recipe, got dict\n")
