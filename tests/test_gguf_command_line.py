"""`python -m model_cards gguf` and `pack`: from a folder to what was asked for, or one line on standard error."""

import sys

import pytest
import torch
from gguf_models import TOKENIZER, gguf_model

from model_cards.__main__ import main
from model_cards.command_line import FLOAT_TYPES, TYPES
from model_cards.gguf_blocks import FORMATS
from model_cards.gguf_file import read_gguf
from model_cards.gguf_limits import DENSE_TYPES
from modeling_nanochat import LoopLMConfig, LoopLMForCausalLM


@pytest.fixture
def folder(tmp_path):
    model = gguf_model(initializer_range=0.02).bfloat16()
    model.generation_config.max_new_tokens = 7
    model.save_pretrained(tmp_path / "model")
    TOKENIZER.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_the_choices_are_the_formats():
    assert set(TYPES) == set(FORMATS) and FLOAT_TYPES == DENSE_TYPES


@pytest.mark.parametrize("type", ["f32", "q2_k"])
def test_a_saved_model_is_exported_and_verified(folder, tmp_path, capsys, type):
    assert main(["gguf", str(folder), str(tmp_path / "out.gguf"), "--type", type, "--verify"]) == 0
    printed = capsys.readouterr().out
    assert "every weight as in" in printed and "13 of 13" in printed and "agrees" in printed
    assert read_gguf(tmp_path / "out.gguf").metadata["general.name"] == "model"


def test_what_llama_cpp_does_not_follow_is_said(folder, tmp_path, capsys):
    config = LoopLMConfig.from_pretrained(folder)
    config.exit_threshold, config.kv_reuse = 0.75, "last"
    config.save_pretrained(folder)
    assert main(["gguf", str(folder), str(tmp_path / "out.gguf")]) == 0
    printed = capsys.readouterr().out
    assert "exit_threshold=0.75 is not followed: llama.cpp runs all loops" in printed
    assert 'kv_reuse="last" is not followed: llama.cpp keeps the keys and values of every loop' in printed


def test_a_packed_folder_is_exported_and_verified(folder, tmp_path, capsys):
    out = tmp_path / "packed" / "model"
    assert main(["pack", str(folder), str(out)]) == 0
    printed = capsys.readouterr().out
    assert "MB instead of" in printed and "2.062 bits each" in printed and "unpacked while generating" in printed
    packed = LoopLMForCausalLM.from_pretrained(out, dtype="auto")
    assert packed.config.weight_format == "packed" and packed.dtype == torch.bfloat16
    assert packed.generation_config.max_new_tokens == 7, "it comes along"
    for source, name in ((folder, "latent"), (out, "packed")):
        assert (
            main(["gguf", str(source), str(tmp_path / f"{name}.gguf"), *(["--verify"] if source is out else [])]) == 0
        )
    assert "agrees" in capsys.readouterr().out
    assert (tmp_path / "packed.gguf").read_bytes() == (tmp_path / "latent.gguf").read_bytes()
    assert main(["pack", str(folder), str(out)]) == 2
    assert "out must be an empty folder or not be there" in capsys.readouterr().err


def test_what_cannot_be_done_is_one_line_and_status_two(folder, tmp_path, capsys, monkeypatch):
    out = str(tmp_path / "out.gguf")
    assert main(["gguf", str(tmp_path), out]) == 2
    assert "save_pretrained wrote: it has no config.json" in capsys.readouterr().err
    (folder / "tokenizer.json").rename(tmp_path / "tokenizer.json")
    for command in ("gguf", "pack"):
        assert main([command, str(folder), out]) == 2
        assert "must hold a model with its tokenizer: it has no tokenizer.json" in capsys.readouterr().err
    (tmp_path / "tokenizer.json").rename(folder / "tokenizer.json")
    monkeypatch.setitem(sys.modules, "gguf", None)
    assert main(["gguf", str(folder), out]) == 2
    assert 'gguf is not installed: pip install -e ".[gguf]"' in capsys.readouterr().err
