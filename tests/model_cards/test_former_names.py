"""Command lines of earlier versions mean the same as those with the present options."""

import argparse

import pytest

from model_cards.card.command_line import add_card
from model_cards.gguf.command_line import add_gguf
from model_cards.hub.command_line import add_publish
from model_cards.packed.command_line import add_pack
from model_cards.serving.command_line import add_chat, add_serve


def parse(line):
    parser = argparse.ArgumentParser()
    subcommands = parser.add_subparsers()
    for add in (add_card, add_chat, add_gguf, add_pack, add_publish, add_serve):
        add(subcommands)
    return vars(parser.parse_args(line.split()))


@pytest.mark.parametrize(
    "former, present",
    [
        ("gguf folder out.gguf --verify", "gguf --model folder --output out.gguf --verify"),
        ("pack folder out", "pack --model folder --output-dir out"),
        ("card folder --results a b --out card.md", "card --model folder --results a b --output card.md"),
        ("publish folder --repo a/b --staging new", "publish --model folder --repo a/b --output-dir new"),
        (
            "serve file.gguf --loops 2 --context 64 --threads 1",
            "serve --model file.gguf --num-loops 2 --context-length 64 --num-threads 1",
        ),
        ("chat model --loops 3", "chat --model model --num-loops 3"),
    ],
)
def test_former_spellings_give_the_same_options(former, present, capsys):
    assert parse(present) == parse(former)
    assert "is now given as --model" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["gguf --output out", "pack --output-dir out", "serve", "chat", "card"])
def test_without_a_model_the_option_is_asked_for(command, capsys):
    with pytest.raises(SystemExit):
        parse(command)
    assert "the following arguments are required: --model" in capsys.readouterr().err
