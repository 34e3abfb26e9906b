"""The digest of weights tells apart what has other weights, and nothing else; results of two such are never mixed."""

import hashlib
import json
import shutil
import subprocess
from dataclasses import replace

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from evaluation.comparison import compare_results
from evaluation.models.digest import (
    OF_FILES,
    OF_TENSORS,
    differing_digests,
    digest_of_loaded,
    files_digest,
    tensors_digest,
    weight_files,
)
from evaluation.results import Results, share_interval
from evaluation.results_folder import ResultsFolder
from evaluation.run import evaluate_model
from evaluation.settings import EvaluationSettings
from tests.helpers.gguf_models import TOKENIZER
from tests.helpers.tiny import tiny_model
from tests.helpers.tiny_suite import TinySuite


@pytest.fixture(scope="module")
def model():
    return tiny_model(vocab_size=448)


def test_one_file_has_the_digest_that_sha256sum_prints(model, tmp_path):
    model.save_pretrained(tmp_path)
    found = digest_of_loaded(model, str(tmp_path))
    assert found.sha256 == hashlib.sha256((tmp_path / "model.safetensors").read_bytes()).hexdigest()
    assert found.of == OF_FILES


def test_several_files_have_the_digest_of_what_sha256sum_prints_for_them(model, tmp_path):
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    files = weight_files(str(tmp_path))
    assert len(files) > 2
    printed = "cat model-*.safetensors > /dev/null; sha256sum model-*.safetensors | sha256sum"
    shown = subprocess.run(printed, shell=True, cwd=tmp_path, capture_output=True, text=True, env={"LC_ALL": "C"})
    assert shown.stdout.split()[0] == files_digest(files)
    # Files that the model is not loaded from do not count.
    shutil.copy(files[0], tmp_path / "other.safetensors")
    assert weight_files(str(tmp_path)) == files


def test_one_changed_weight_changes_the_digest_and_a_copy_does_not(model):
    first, copy = tensors_digest(model), tiny_model(vocab_size=448)
    copy.load_state_dict(model.state_dict())
    assert tensors_digest(copy) == first
    with torch.no_grad():
        next(copy.parameters()).view(-1)[3] += 1e-6
    assert tensors_digest(copy) != first


def test_two_weights_that_change_places_change_the_digest(model):
    swapped = tiny_model(vocab_size=448)
    swapped.load_state_dict(model.state_dict())
    with torch.no_grad():
        weight = next(swapped.parameters()).view(-1)
        weight[[0, 1]] = weight[[1, 0]]
    assert tensors_digest(swapped) != tensors_digest(model)


def test_every_type_of_tensor_has_bytes():
    config = LlamaConfig(vocab_size=8, hidden_size=4, intermediate_size=4, num_hidden_layers=1, num_attention_heads=2)
    llama = LlamaForCausalLM(config).bfloat16()
    llama.register_buffer("flag", torch.tensor(True))
    assert digest_of_loaded(llama, None).of == OF_TENSORS
    assert len(tensors_digest(llama)) == 64


@pytest.mark.parametrize(
    "first, second, differ",
    [
        ({"digest": "a", "digest_of": "x"}, {"digest": "b", "digest_of": "x"}, True),
        ({"digest": "a", "digest_of": "x"}, {"digest": "a", "digest_of": "x"}, False),
        ({"digest": "a", "digest_of": "x"}, {"digest": "b", "digest_of": "y"}, False),
        ({"digest": None, "digest_of": "x"}, {"digest": "b", "digest_of": "x"}, False),
        ({}, {"digest": "b", "digest_of": "x"}, False),
        ({"path": "other", "digest": "a", "digest_of": "x"}, {"digest": "b", "digest_of": "x"}, False),
    ],
)
def test_only_digests_of_one_path_and_one_kind_of_data_are_compared(first, second, differ):
    assert differing_digests({"path": "p"} | first, {"path": "p"} | second) == differ


def test_results_of_changed_weights_go_into_no_folder_of_the_former_ones(tmp_path):
    folder, out = tmp_path / "model", tmp_path / "out"
    TOKENIZER.save_pretrained(folder)
    for seed in (0, 1):
        changed = tiny_model(vocab_size=448)
        torch.nn.init.constant_(next(changed.parameters()), seed)
        changed.save_pretrained(folder)
        if seed == 0:
            (results,) = evaluate_model(str(folder), [TinySuite((1, 2))], out)
            (again,) = evaluate_model(str(folder), [TinySuite((1, 2))], out)
            assert results.model == again.model and len(results.model["digest"]) == 64
    # Results of another suite are not mixed with them either.
    (out / "tiny_numbers.json").rename(out / "perplexity.json")
    before = (out / "perplexity.json").read_bytes()
    with pytest.raises(ValueError, match="holds the results of other weights of .*: choose another folder with"):
        evaluate_model(str(folder), [TinySuite((1, 2))], out, EvaluationSettings())
    assert (out / "perplexity.json").read_bytes() == before and len(list(out.iterdir())) == 1
    (changed,) = evaluate_model(str(folder), [TinySuite((1, 2))], tmp_path / "new")
    with pytest.raises(ValueError, match="its weights have changed between them .*keep each model in a folder"):
        compare_results(results, changed)


def test_results_from_before_there_was_a_digest_are_read_compared_and_continued(tmp_path):
    values = {"a": 0.0, "b": 1.0}
    former = Results("perplexity", {"path": "p"}, {"m": share_interval([0.0, 1.0])}, {"m": values}, unit="texts")
    former.write(tmp_path)
    content = json.loads((tmp_path / "perplexity.json").read_text())
    assert "digest" not in content["model"]
    present = replace(former, model={"path": "p", "digest": "a", "digest_of": OF_FILES})
    assert len(compare_results(Results.read(tmp_path / "perplexity.json"), present)) == 1
    ResultsFolder(tmp_path, present.model).check(["perplexity"])
