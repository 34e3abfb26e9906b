"""Uploads to a branch, and the sentence that each refusal of the Hub is turned into."""

import pytest

from model_cards.__main__ import main
from model_cards.hub.upload import upload

REPO = "tester/small-rust"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n")
    return tmp_path


def test_a_branch_is_created_and_the_main_one_is_left_as_it_was(hub, folder):
    upload(folder, REPO, False, "First")
    before = dict(hub.repositories[REPO])
    (folder / "model.safetensors").write_bytes(b"better")
    for _ in range(2):
        upload(folder, REPO, False, "Second", revision="better")
    assert hub.repositories[REPO] == before
    assert hub.repositories[f"{REPO}@better"]["model.safetensors"] == b"better"
    assert len(hub.commits[f"{REPO}@better"]) == 1


@pytest.mark.parametrize(
    "status, answer, said",
    [
        (403, "Forbidden", "must have the permission to write to tester/small-rust"),
        (403, "Private repository storage limit reached", "storage of this account on the Hub is full"),
        (402, "Payment required", "storage of this account on the Hub is full"),
        (404, "Repository not found", "the Hub finds no tester/small-rust that this token may see"),
        (409, "A conflict", "tester/small-rust is taken on the Hub, or changed during the upload"),
        (413, "Payload too large", "accepts no file or commit of this size: publish fewer files with --gguf-types"),
        (418, "I am a teapot", "the Hub answered 418"),
    ],
)
def test_each_refusal_is_one_sentence_that_says_what_to_do(hub, folder, status, answer, said):
    hub.create({"organization": "tester", "name": "small-rust"})
    hub.refusal = (status, {"error": answer})
    with pytest.raises(ValueError) as refused:
        upload(folder, REPO, False, "Upload")
    assert said in str(refused.value) and answer in str(refused.value) and "\n" not in str(refused.value)
    assert hub.commits[REPO] == []


def test_a_full_storage_is_told_from_a_missing_permission_also_during_a_large_file(hub, folder):
    (folder / "model.safetensors").write_bytes(b"large")
    hub.full = True
    with pytest.raises(ValueError, match="storage of this account on the Hub is full.*repeat the command") as refused:
        upload(folder, REPO, False, "Upload")
    assert "\n" not in str(refused.value) and hub.commits[REPO] == []


@pytest.mark.parametrize("name", ["a b", "../main", "-x", "x..y", "x.lock", "/x", "x/.y", ""])
def test_a_name_that_no_branch_can_have_is_refused_before_any_request(hub, tmp_path, capsys, name):
    assert main(["publish", "--model", str(tmp_path), "--repo", REPO, "--push", f"--revision={name}"]) == 2
    assert "revision must be the name of a branch" in capsys.readouterr().err
    assert hub.requests == []
