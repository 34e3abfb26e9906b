"""A model that cannot be measured as it is meant is refused in one sentence that names the fault."""

import json
import os

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import GPT2Config, GPT2LMHeadModel

from evaluation.loading import load_model
from tests.helpers.tiny import tiny_model


@pytest.fixture
def saved(tmp_path, tokenizer):
    tiny_model(vocab_size=300).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    return tmp_path


def refused(folder, message, **options):
    with pytest.raises(ValueError, match=message) as caught:
        load_model(str(folder), **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name, message",
    [
        ("model.safetensors", "damaged file of weights, model.safetensors"),
        ("config.json", "config.json is damaged"),
        ("generation_config.json", "generation_config.json is damaged"),
        ("tokenizer.json", "tokenizer.json is damaged"),
    ],
)
def test_a_half_copied_file_is_named(saved, name, message):
    os.truncate(saved / name, (saved / name).stat().st_size // 2)
    refused(saved, message)


@pytest.mark.parametrize("change", ["missing", "of another shape"])
def test_weights_that_would_be_filled_at_random_are_refused(saved, change, capfd):
    weights = load_file(saved / "model.safetensors")
    name = next(name for name in weights if name.endswith("up_proj.weight"))
    if change == "missing":
        del weights[name]
    else:
        weights[name] = weights[name][:1].clone()
    save_file(weights, saved / "model.safetensors", metadata={"format": "pt"})
    refused(saved, f"1 are missing or of another shape, such as {name}")
    assert "MISSING" not in "".join(capfd.readouterr())


def test_a_model_without_its_tokenizer_is_refused(saved, tmp_path):
    for path in saved.glob("tokenizer*"):
        path.unlink()
    refused(saved, "has no tokenizer, which tokenizer.save_pretrained writes")


def test_a_tokenizer_that_the_library_makes_of_nothing_is_none(tmp_path):
    GPT2LMHeadModel(GPT2Config(vocab_size=300, n_embd=8, n_layer=1, n_head=1)).save_pretrained(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text("{}")
    refused(tmp_path, "has no tokenizer")


def test_a_tokenizer_without_an_end_is_refused(saved):
    path = saved / "tokenizer_config.json"
    kept = {name: value for name, value in json.loads(path.read_text()).items() if name != "eos_token"}
    path.write_text(json.dumps(kept))
    refused(saved, "must have a tokenizer with an end token")


@pytest.mark.parametrize("device", ["nonsense", "meta", "cuda:99"])
def test_a_device_that_is_not_here_is_refused_before_the_model_is_looked_for(device):
    refused(
        "./nothing", f"device must be one that PyTorch .* can use on this machine .*, got '{device}'", device=device
    )


@pytest.mark.parametrize("dtype", ["nonsense", "int8", "torch.float32"])
def test_a_type_of_no_weights_is_refused_before_the_model_is_looked_for(dtype):
    refused("./nothing", "dtype must be one of auto, float32", dtype=dtype)


def test_what_is_whole_is_loaded_as_it_was_saved(saved):
    model, loaded = load_model(str(saved), dtype="bfloat16", device="cpu")
    assert model.dtype == torch.bfloat16 and not model.training and loaded.pad_token_id is not None
