"""The commands `gguf` and `pack`: they write what was asked for, or print one line on standard error."""

import resource
import sys

import pytest
import torch

from model_cards.__main__ import main
from model_cards.gguf.file import read_gguf
from modeling_nanochat import LoopLMConfig, LoopLMForCausalLM
from tests.helpers.gguf_models import TOKENIZER, gguf_model


def gguf(folder, output):
    return ["gguf", "--model", str(folder), "--output", str(output)]


def pack(folder, output_dir):
    return ["pack", "--model", str(folder), "--output-dir", str(output_dir)]


@pytest.fixture
def folder(tmp_path):
    model = gguf_model(initializer_range=0.02).bfloat16()
    model.generation_config.max_new_tokens = 7
    model.save_pretrained(tmp_path / "model")
    TOKENIZER.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("type", ["f32", "q2_k"])
def test_a_saved_model_is_exported_and_verified(folder, tmp_path, capsys, type):
    assert main([*gguf(folder, tmp_path / "out.gguf"), "--type", type, "--verify"]) == 0
    printed = capsys.readouterr().out
    assert "every weight as in" in printed and "13 of 13" in printed and "agrees" in printed
    assert read_gguf(tmp_path / "out.gguf").metadata["general.name"] == "model"


def test_settings_that_llama_cpp_ignores_are_printed(folder, tmp_path, capsys):
    config = LoopLMConfig.from_pretrained(folder)
    config.exit_threshold, config.kv_reuse = 0.75, "last"
    config.save_pretrained(folder)
    assert main(gguf(folder, tmp_path / "out.gguf")) == 0
    printed = capsys.readouterr().out
    assert "exit_threshold=0.75 is ignored: llama.cpp runs all loops" in printed
    assert 'kv_reuse="last" is ignored: llama.cpp caches the keys and values of every loop' in printed


def test_a_packed_folder_is_exported_and_verified(folder, tmp_path, capsys):
    out = tmp_path / "packed" / "model"
    assert main(pack(folder, out)) == 0
    printed = capsys.readouterr().out
    assert "MB instead of" in printed and "2.062 bits each" in printed and "unpacked while generating" in printed
    packed = LoopLMForCausalLM.from_pretrained(out, dtype="auto")
    assert packed.config.weight_format == "packed" and packed.dtype == torch.bfloat16
    assert packed.generation_config.max_new_tokens == 7, "generation settings are kept"
    for source, name in ((folder, "latent"), (out, "packed")):
        verify = ["--verify"] if source is out else []
        assert main([*gguf(source, tmp_path / f"{name}.gguf"), *verify]) == 0
    assert "agrees" in capsys.readouterr().out
    assert (tmp_path / "packed.gguf").read_bytes() == (tmp_path / "latent.gguf").read_bytes()
    assert main(pack(folder, out)) == 2
    assert "--output-dir must be a new or an empty folder" in capsys.readouterr().err


def test_what_cannot_be_done_is_one_line_and_status_two(folder, tmp_path, capsys, monkeypatch):
    out = tmp_path / "out.gguf"
    assert main(gguf(tmp_path, out)) == 2
    assert "save_pretrained wrote: it has no config.json" in capsys.readouterr().err
    (folder / "tokenizer.json").rename(tmp_path / "tokenizer.json")
    for command in (gguf, pack):
        assert main(command(folder, out)) == 2
        assert "must hold a model with its tokenizer: it has no tokenizer.json" in capsys.readouterr().err
    (tmp_path / "tokenizer.json").rename(folder / "tokenizer.json")
    monkeypatch.setitem(sys.modules, "gguf", None)
    assert main(gguf(folder, out)) == 2
    assert 'gguf is not installed: pip install -e ".[gguf]"' in capsys.readouterr().err


@pytest.mark.parametrize("command", ["gguf", "card"])
def test_a_file_is_replaced_only_when_that_is_asked_for(folder, tmp_path, capsys, command):
    out = tmp_path / "notes.txt"
    out.write_text("mine")
    ask = [command, "--model", str(folder), "--output", str(out)]
    assert main(ask) == 2
    assert "notes.txt exists: choose another name, or replace it with --overwrite" in capsys.readouterr().err
    assert out.read_text() == "mine"
    assert main([*ask, "--overwrite"]) == 0
    assert out.read_bytes() != b"mine"


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json", "generation_config.json"])
@pytest.mark.parametrize("command", [gguf, pack])
def test_a_file_that_was_copied_in_part_is_named(folder, tmp_path, capsys, name, command):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    assert main(command(folder, tmp_path / "out")) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{name} is damaged" in line and "Copy it again." in line
    assert not (tmp_path / "out").exists()


def test_a_pack_that_finds_the_disk_full_leaves_nothing(folder, tmp_path, capsys):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        assert main(pack(folder, tmp_path / "deep" / "packed")) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    (line,) = capsys.readouterr().err.splitlines()
    assert "deep/packed cannot be written" in line
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize(
    "command", [["gguf", "--output", "out"], ["pack", "--output-dir", "out"], ["card"], ["publish", "--repo", "me/it"]]
)
def test_a_model_of_another_kind_is_refused_in_one_line(folder, tmp_path, capsys, command):
    (folder / "config.json").write_text('{"model_type": "llama"}')
    rest = [str(tmp_path / each) if each == "out" else each for each in command[1:]]
    assert main([command[0], "--model", str(folder), *rest]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "must hold a LoopLM" in line and "got 'llama'" in line
