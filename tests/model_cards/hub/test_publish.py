"""The command `publish`: only the model reaches the Hub, and only with `--push`."""

import hashlib
import json
import os
import signal
import subprocess
import sys

import huggingface_hub.constants
import pytest
import torch
from huggingface_hub import ModelCard

from model_cards.__main__ import main
from model_cards.checkpoint import LoopLMCheckpoint
from model_cards.gguf.file import read_gguf
from model_cards.hub.staging import PROMPT
from model_cards.hub.upload import upload
from model_cards.model_folder import stage_model
from modeling_nanochat import LoopLMForCausalLM
from tests.helpers.gguf_models import TOKENIZER, gguf_model
from tests.helpers.paths import ROOT
from tests.helpers.tiny import tiny_model

REPO = "tester/small-rust"
PLANTED = "".join(["must ", "stay here"])
CARD = b"---\nlicense: mit\n---\n"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A saved model among files that must not be published."""
    folder = tmp_path_factory.mktemp("run") / "model"
    gguf_model(initializer_range=0.02).save_pretrained(folder)
    TOKENIZER.save_pretrained(folder)
    for name in ("training_args.bin", "optimizer.pt", "trainer_state.json", "rng_state.pth", "notes.py", ".env"):
        (folder / name).write_text(PLANTED)
    (folder / "checkpoint-2").mkdir()
    (folder / "checkpoint-2" / "model.safetensors").write_text(PLANTED)
    return folder


def publish(folder, *options):
    return main(["publish", "--model", str(folder), "--repo", REPO, *map(str, options)])


def written(files, folder):
    folder.mkdir()
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def test_what_reaches_the_hub_is_the_model_its_code_and_its_gguf(saved, hub, tmp_path, capsys):
    staging = tmp_path / "staging"
    assert publish(saved, "--push", "--private", "--gguf-types", "tq2_0", "--output-dir", staging) == 0
    printed = capsys.readouterr().out
    assert sorted(hub.repositories) == [REPO, f"{REPO}-GGUF"] and all(hub.private.values())
    # One commit each, of exactly what was shown and staged.
    for name in hub.repositories:
        place = staging / name.split("/")[1]
        files = {str(path.relative_to(place)): path.read_bytes() for path in place.rglob("*") if path.is_file()}
        assert {file: hub.repositories[name][file] for file in files} == files
        assert len(hub.commits[name]) == 1 and sorted(hub.commits[name][0]) == sorted(files)
        assert all(f"{len(content):,}  {file}" in printed for file, content in files.items() if "/" not in file)

    model = hub.repositories[REPO]
    assert model["model.safetensors"] == (saved / "model.safetensors").read_bytes()
    assert {"MODEL_CARD.md", "TRAINING_REPORT.md", "BENCHMARK_RESULTS.md"} <= model.keys()
    assert not any(PLANTED.encode() in content for content in model.values())
    original, loaded = (
        LoopLMForCausalLM.from_pretrained(folder).eval() for folder in (saved, written(model, tmp_path / "stored"))
    )
    ids = torch.tensor([TOKENIZER(PROMPT)["input_ids"]])
    assert torch.equal(original(ids).logits, loaded(ids).logits)
    # The clean process generated the same text; it leaves white space at the end of a prompt to the model.
    cut = torch.tensor([TOKENIZER(PROMPT.rstrip())["input_ids"]])
    expected = original.generate(cut, max_new_tokens=16, do_sample=False)[0]
    assert f"it continues: {TOKENIZER.decode(expected, skip_special_tokens=True)!r}" in printed

    gguf = written(hub.repositories[f"{REPO}-GGUF"], tmp_path / "stored-GGUF")
    assert read_gguf(gguf / "small-rust-TQ2_0.gguf").metadata["nanbeige.num_loops"] == 2
    card = ModelCard.load(gguf / "README.md")
    assert card.data.base_model == REPO and card.data.base_model_relation == "quantized"
    assert card.data.library_name == "gguf" and "gguf" in card.data.tags

    # Once more changes nothing, and adds no commit.
    upload(staging / "small-rust", REPO, True, "Again")
    assert len(hub.commits[REPO]) == 1


def test_a_dry_run_sends_nothing_and_what_llama_cpp_cannot_run_is_left_out_with_the_reason(
    tmp_path, hub, capsys, monkeypatch
):
    monkeypatch.delenv("HF_TOKEN")
    # The clean process, which is offline, was started by the test before.
    monkeypatch.setattr("model_cards.hub.staging.complete_in_clean_process", lambda *_, **__: "")
    tiny_model(vocab_size=448, sandwich_norm=True).save_pretrained(tmp_path / "model")
    TOKENIZER.save_pretrained(tmp_path / "model")
    assert publish(tmp_path / "model", "--output-dir", tmp_path / "staging") == 0
    assert hub.requests == []
    printed = capsys.readouterr().out
    assert "model.safetensors" in printed and "Nothing was uploaded" in printed
    assert "No GGUF repository: llama.cpp cannot run this model. LoopLMConfig.sandwich_norm" in printed
    assert [path.name for path in (tmp_path / "staging").iterdir()] == ["small-rust"]
    assert "sandwich_norm must be False" in (tmp_path / "staging" / "small-rust" / "README.md").read_text()
    # Asked for, it is refused.
    assert publish(tmp_path / "model", "--gguf-types", "f16") == 2
    assert "sandwich_norm must be False" in capsys.readouterr().err


@pytest.mark.parametrize("token, said", [(None, "--push needs a token"), ("hf_wrong", "does not accept the token")])
def test_without_a_right_token_nothing_is_done_and_one_sentence_says_so(saved, hub, capsys, monkeypatch, token, said):
    monkeypatch.delenv("HF_TOKEN")
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    assert publish(saved, "--push") == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert hub.requests == ([] if token is None else ["GET /api/whoami-v2"])
    assert hub.repositories == {}


def test_an_upload_that_was_killed_can_be_repeated_to_the_same_end(hub, tmp_path):
    folder = written({"model.safetensors": bytes(3_000_000), "README.md": CARD}, tmp_path / "it")
    upload = f"from model_cards.hub.upload import upload; upload(Path({str(folder)!r}), {REPO!r}, False, 'Upload')"
    command = [sys.executable, "-c", f"from pathlib import Path; {upload}"]
    environment = os.environ | {
        "HF_ENDPOINT": hub.endpoint,
        "HF_HUB_DISABLE_XET": "1",
        "PYTHONPATH": str(ROOT),
    }
    hub.hold.set()
    killed = subprocess.Popen(command, env=environment)
    assert hub.arriving.wait(60)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    hub.hold.clear()
    assert list(hub.repositories[REPO]) == [".gitattributes"] and hub.commits[REPO] == []

    subprocess.run(command, env=environment, check=True)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert {name: hub.repositories[REPO][name] for name in files} == files
    assert len(hub.commits[REPO]) == 1


def test_weights_of_an_earlier_model_go_and_what_others_put_there_stays(hub, tmp_path):
    hub.create({"organization": "tester", "name": "small-rust"})
    hub.repositories[REPO] |= {"model-00001-of-00002.safetensors": b"old", "figure.png": b"mine"}
    done = upload(written({"model.safetensors": b"new"}, tmp_path / "it"), REPO, False, "Upload")
    assert done.kept == ("figure.png",) and done.removed == ("model-00001-of-00002.safetensors",)
    assert sorted(hub.repositories[REPO]) == [".gitattributes", "figure.png", "model.safetensors"]


def test_with_xet_the_large_file_arrives_in_its_storage(hub, tmp_path, monkeypatch):
    hf_xet = pytest.importorskip("hf_xet")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", False)
    hub.xet = tmp_path / "storage"
    content = torch.rand(100_000, generator=torch.Generator().manual_seed(0)).numpy().tobytes()
    folder = written({"model.safetensors": content, "README.md": CARD}, tmp_path / "it")
    upload(folder, REPO, False, "Upload")
    assert hub.repositories[REPO]["model.safetensors"] == hashlib.sha256(content).hexdigest().encode()
    assert hub.commits[REPO] == [["README.md", "model.safetensors"]]
    (stored,) = hf_xet.hash_files([str(folder / "model.safetensors")])
    with hf_xet.XetSession().new_file_download_group(endpoint=f"local://{hub.xet}") as group:
        group.start_download_file(hf_xet.XetFileInfo(stored.hash, len(content)), str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == content


def test_nothing_private_goes_to_a_public_repository(hub, tmp_path):
    hub.create({"organization": "tester", "name": "small-rust"})
    with pytest.raises(ValueError, match="tester/small-rust is public"):
        upload(written({"README.md": CARD}, tmp_path / "it"), REPO, True, "Upload")
    assert hub.commits[REPO] == []


def test_a_repository_of_another_user_is_refused_in_one_sentence(hub, tmp_path):
    with pytest.raises(ValueError, match="permission to write to someone/else.*You don't have the rights") as refused:
        upload(written({"README.md": CARD}, tmp_path / "it"), "someone/else", False, "Upload")
    assert "\n" not in str(refused.value) and hub.repositories == {}


def test_a_refused_file_is_one_sentence_and_no_commit(hub, tmp_path):
    hub.full = True
    said = "storage.*is full.*Error while uploading 'model.safetensors' to the Hub.*403"
    with pytest.raises(ValueError, match=said) as refused:
        upload(written({"model.safetensors": b"new"}, tmp_path / "it"), REPO, False, "Upload")
    assert "\n" not in str(refused.value)
    assert hub.commits[REPO] == []


def test_all_shards_and_no_others_are_staged(saved, tmp_path):
    LoopLMForCausalLM.from_pretrained(saved).save_pretrained(tmp_path / "sharded", max_shard_size="2MB")
    TOKENIZER.save_pretrained(tmp_path / "sharded")
    shards = {path.name for path in (tmp_path / "sharded").glob("*.safetensors")}
    (tmp_path / "sharded" / "model-00009-of-00009.safetensors").write_bytes(b"another model's")
    stage_model(tmp_path / "sharded", tmp_path / "staged")
    assert len(shards) > 1 and {path.name for path in (tmp_path / "staged").glob("*.safetensors")} == shards
    loaded, original = (LoopLMForCausalLM.from_pretrained(folder) for folder in (tmp_path / "staged", saved))
    pairs = zip(loaded.parameters(), original.parameters(), strict=True)
    assert all(torch.equal(first, second) for first, second in pairs)


def test_of_two_forms_of_weights_the_one_that_transformers_loads_is_taken(tmp_path):
    """`save_pretrained` leaves the index of an earlier, sharded save, or the one file of an earlier, whole one."""
    folder = tmp_path / "model"
    earlier, later = (tiny_model(vocab_size=448, initializer_range=scale) for scale in (0.01, 0.1))
    TOKENIZER.save_pretrained(folder)
    for sizes in (("50KB", "1GB"), ("1GB", "50KB")):
        for model, size in zip((earlier, later), sizes, strict=True):
            model.save_pretrained(folder, max_shard_size=size)
        stage_model(folder, tmp_path / "staged")
        loaded = LoopLMForCausalLM.from_pretrained(folder).lm_head.weight
        assert torch.equal(LoopLMCheckpoint.from_folder(folder).read("lm_head.weight"), loaded)
        assert torch.equal(LoopLMForCausalLM.from_pretrained(tmp_path / "staged").lm_head.weight, loaded)


def change_json(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def spoil_tokens(folder):
    change_json(folder / "generation_config.json", eos_token_id=0)


def spoil_code(folder):
    (folder / "streams_nanochat.py").unlink()


def spoil_weights(folder):
    model = LoopLMForCausalLM.from_pretrained(folder)
    model.model.norm.weight.data[0] = float("nan")
    model.save_pretrained(folder)


def spoil_map(folder):
    change_json(folder / "config.json", auto_map={"AutoConfig": "configuration_nanochat.LoopLMConfig"})


def spoil_running(folder):
    path = folder / "modeling_nanochat.py"
    path.write_text(path.read_text() + "\nraise RuntimeError('does not load')\n")


@pytest.mark.parametrize(
    "spoil, said",
    [
        (spoil_tokens, "eos_token_id must agree everywhere, got 2 in the tokenizer, 2 in config.json and 0 in"),
        (spoil_code, "streams_nanochat.py is missing"),
        (spoil_weights, "every weight must be finite, model.norm.weight is not"),
        (spoil_map, "auto_map must name AutoModel"),
        (spoil_running, "must load by its own code in a clean process, got: RuntimeError: does not load"),
    ],
)
def test_a_faulty_model_is_refused_before_anything_is_created(hub, tmp_path, capsys, spoil, said):
    folder = tmp_path / "model"
    tiny_model(vocab_size=448).save_pretrained(folder)
    TOKENIZER.save_pretrained(folder)
    spoil(folder)
    assert publish(folder, "--push", "--no-gguf") == 2
    assert said in capsys.readouterr().err
    assert hub.repositories == {} and hub.requests == ["GET /api/whoami-v2"]
