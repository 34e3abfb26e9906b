"""A name in a table can be copied, whatever the width."""

import io

import pytest
from rich.console import Console
from rich.table import Table

from evaluation.tables import plain_console, print_table

NAME = "stages.pretrain.num_attention_heads_of_the_first_block"
MEANING = "how many heads of attention the first block has, which is a whole number and must divide the width " * 3


def printed(width, terminal):
    file = io.StringIO()
    table = Table("setting", "meaning", title=f"runs/{NAME}/report.json")
    table.add_row(NAME, MEANING)
    print_table(Console(file=file, width=width, force_terminal=terminal, color_system=None), table, prose=["meaning"])
    return file.getvalue()


@pytest.mark.parametrize("width", [20, 40, 80, 200])
@pytest.mark.parametrize("terminal", [True, False])
def test_names_are_whole_at_every_width(width, terminal):
    shown = printed(width, terminal)
    assert shown.count(NAME) == 2 and "…" not in shown
    assert all(word in shown for word in MEANING.split())


def test_a_terminal_folds_prose_to_its_width():
    assert max(map(len, printed(100, terminal=True).splitlines())) <= 100


def test_in_a_pipe_a_row_is_one_line(capsys):
    assert any(NAME in line and MEANING.strip() in line for line in printed(80, terminal=False).splitlines())
    plain_console().print(f"Written to {NAME} " * 4)
    assert capsys.readouterr().out.count("\n") == 1
