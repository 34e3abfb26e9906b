"""`loop`: the result computes what the dense model computes at every depth, and the core is the most similar run."""

import json
import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GenerationConfig

from modeling_nanochat import LoopLMForCausalLM
from nanochat_ternary.__main__ import main
from tests.helpers.conversion import save_family
from tests.helpers.tiny import greedy, random_tokens, tiny_model
from trainers.conversion.looping import loop_model
from trainers.data.tokenizer import train_tokenizer

CODE = 'fn main() { let total: i32 = (1..=10).sum(); println!("{total}"); }\n'


def save_dense(folder: Path, **settings: Any) -> LoopLMForCausalLM:
    """Save a model with one loop in several files, its tokenizer and generation settings; return the model."""
    model = tiny_model(**(dict(num_loops=1, num_shared_layers=4, vocab_size=300, ternary=False) | settings))
    model.save_pretrained(folder, max_shard_size="40KB")
    train_tokenizer([CODE], vocab_size=300, max_length=64).save_pretrained(folder)
    GenerationConfig(max_new_tokens=7, eos_token_id=[2, 5]).save_pretrained(folder)
    return model


def loop(folder: Path, *words: str) -> int:
    """Run `nanochat-ternary loop` on folder/dense."""
    return main(["loop", "--model", str(folder / "dense"), "--output-dir", str(folder / "new" / "looped"), *words])


@torch.no_grad()
@pytest.mark.parametrize(
    ("settings", "choice"),
    [
        (dict(mhc_num_streams=1, exit_at_loop=1), ["--core", "1:3"]),
        (dict(ternary=True, kv_reuse="last"), ["--core", "2:4", "--num-loops", "3"]),
        (dict(tie_word_embeddings=True), ["--whole-stack"]),
    ],
)
def test_at_every_depth_the_looped_model_is_the_dense_one_with_all_its_tensors(tmp_path, settings, choice):
    dense, tokens = save_dense(tmp_path / "dense", **settings), random_tokens(2, 20)
    assert len(list((tmp_path / "dense").glob("*.safetensors"))) > 1
    assert loop(tmp_path, *choice) == 0
    looped = LoopLMForCausalLM.from_pretrained(tmp_path / "new" / "looped").eval()
    for num_loops in (None, 1, 2, 3):
        logits = looped(tokens, num_loops=num_loops).logits
        torch.testing.assert_close(logits, dense(tokens).logits, atol=1e-6, rtol=0)
    stored = looped.state_dict()
    assert stored.pop("model.loop_scale").tolist() == [0.0] * 32
    assert stored.keys() == dense.state_dict().keys()
    assert all(torch.equal(stored[name], value) for name, value in dense.state_dict().items())
    prompt = {"exit_threshold": 0.7} if looped.config.num_loops > 2 else {}
    assert torch.equal(greedy(looped, tokens, **prompt).sequences, greedy(dense, tokens).sequences)
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        assert (tmp_path / "new" / "looped" / name).read_bytes() == (tmp_path / "dense" / name).read_bytes()


@torch.no_grad()
def test_the_core_is_the_run_of_layers_that_changes_the_states_least(tmp_path, capsys):
    dense = save_dense(tmp_path / "dense", num_shared_layers=6, initializer_range=0.1)
    for layer in dense.model.layers[2:4]:
        layer.self_attn.o_proj.weight.mul_(1e-3)
        layer.mlp.down_proj.weight.mul_(1e-3)
    # The first and the last layer change less, and stay outside.
    for layer in (dense.model.layers[0], dense.model.layers[5]):
        layer.self_attn.o_proj.weight.zero_()
        layer.mlp.down_proj.weight.zero_()
    dense.save_pretrained(tmp_path / "dense", max_shard_size="40KB")
    (tmp_path / "text.rs").write_text(CODE * 3)
    assert loop(tmp_path, "--core-layers", "2", "--texts", str(tmp_path / "text.rs")) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "2:4" in line]
    assert "core" in line
    record = json.loads((tmp_path / "new" / "looped" / "loop.json").read_text())
    assert (record["core"], record["num_layers"], record["num_loops"]) == ([2, 4], 6, 2)
    assert str(tmp_path) not in json.dumps(record)
    assert [(run["start"], run["end"]) for run in record["runs"]] == [(1, 3), (2, 4), (3, 5)]
    small, *others = sorted(run["distance"] for run in record["runs"])
    assert small < 0.01 and all(0.02 < distance < 1 for distance in others)
    config = LoopLMForCausalLM.from_pretrained(tmp_path / "new" / "looped").config
    assert (config.num_prelude_layers, config.num_shared_layers, config.num_coda_layers) == (2, 2, 2)


@torch.no_grad()
def test_without_a_choice_half_of_the_layers_are_chosen_on_rust_of_this_package(tmp_path):
    save_dense(tmp_path / "dense", num_shared_layers=3, hidden_size=16, intermediate_size=16, mhc_num_streams=1)
    chosen = loop_model(tmp_path / "dense", tmp_path / "looped")
    assert [(run.start, run.end) for run in chosen.runs] == [(1, 2)] == [chosen.core]
    assert chosen.tokens > 10_000 and chosen.texts[0].endswith("builtin_rust")


REFUSED: dict[str, tuple[list[str], str]] = {
    "one loop": (["--num-loops", "1"], "num_loops must be an integer >= 2, got 1"),
    "outside": (["--core", "2:5"], "core must be START:END with 0 <= START < END <= 4, got 2:5"),
    "empty": (["--core", "2:2"], "core must be START:END with 0 <= START < END <= 4, got 2:2"),
    "no number": (["--core", "1-3"], "core must be START:END, two layers counted from 0, got '1-3'"),
    "no layer outside": (["--core-layers", "3"], "core_layers must be an integer from 1 to 2, got 3"),
    "texts without a use": (["--whole-stack", "--texts", "a.rs"], "texts must be left out when the core is given"),
    "no such text": (["--texts", "/nothing.rs"], "got /nothing.rs, which does not exist"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_core_that_cannot_be_is_refused_before_anything_is_written(tmp_path, capsys, what):
    words, message = REFUSED[what]
    save_dense(tmp_path / "dense")
    assert loop(tmp_path, *words) == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["dense"]


def test_other_models_existing_folders_and_full_disks_are_refused(tmp_path, capsys, monkeypatch):
    save_dense(tmp_path / "dense")
    assert loop(tmp_path, "--core", "1:3") == 0 and loop(tmp_path, "--core", "1:3") == 2
    assert "output_dir must not exist yet" in capsys.readouterr().err
    with pytest.raises(ValueError, match="got 2 and 'scaled': it is looped already"):
        loop_model(tmp_path / "new" / "looped", tmp_path / "again")
    save_family(tmp_path / "qwen", "qwen2")
    with pytest.raises(ValueError, match="model_type 'qwen2': convert it first with `nanochat-ternary convert`"):
        loop_model(tmp_path / "qwen", tmp_path / "again")
    tiny_model(num_loops=1).pack().save_pretrained(tmp_path / "packed")
    with pytest.raises(ValueError, match="model must have latent weights, got packed ones"):
        loop_model(tmp_path / "packed", tmp_path / "again")
    tiny_model(num_loops=1).save_pretrained(tmp_path / "small")
    with pytest.raises(ValueError, match="must have at least 3 layers.*give core or whole_stack"):
        loop_model(tmp_path / "small", tmp_path / "again")
    with pytest.raises(ValueError, match="core, core_layers and whole_stack exclude each other"):
        loop_model(tmp_path / "dense", tmp_path / "again", core=(1, 2), whole_stack=True)
    (tmp_path / "dense" / "tokenizer.json").unlink()
    with pytest.raises(ValueError, match="has a tokenizer that cannot be loaded|has no tokenizer"):
        loop_model(tmp_path / "dense", tmp_path / "again")
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1000, 900, 100))
    with pytest.raises(ValueError, match="bytes of disk"):
        loop_model(tmp_path / "dense", tmp_path / "again")
    assert not (tmp_path / "again").exists()
