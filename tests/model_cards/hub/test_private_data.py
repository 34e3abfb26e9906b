"""Secrets and paths of this machine are found with file and line, before anything is uploaded."""

import base64
from pathlib import Path

import pytest

from model_cards.hub.private_data import check_no_private_data, find_private_data
from model_cards.snapshot.source import source_files


def written(folder: Path, text: str, name: str = "examples/notes.md") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"first line\n{text}\n")
    return folder


# Assembled here, so that no search for secrets finds them in this file.
SECRETS = [
    "hf_" + "aBcDeFgHiJ" * 3 + "abcd",
    "token: ghp_" + "0aB" * 12,
    "AKIA" + "ABCDEFGH23456789",
    '"key": "sk-' + "abc123" * 5 + '"',
    "-----BEGIN RSA " + "PRIVATE KEY-----",
    "Authorization: Bearer " + base64.b64encode(bytes(range(30))).decode(),
    "https://me:" + "hunter22" + "@example.org/data",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_stops_the_publication_with_file_and_line(tmp_path, secret):
    with pytest.raises(ValueError, match="notes.md, line 2: a ") as refused:
        check_no_private_data(written(tmp_path, f"see {secret} there"), [])
    assert secret not in str(refused.value)


def test_the_value_of_a_secret_variable_is_found_whatever_it_looks_like(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "correct horse")
    monkeypatch.setenv("HF_TOKEN", "")
    (found,) = find_private_data(written(tmp_path, "say correct horse"), [])
    assert found.kind == "a token or key of yours"


@pytest.mark.parametrize("name", ["notes.json", "demo.ipynb", "code/a.py", "no_suffix"])
def test_paths_of_this_machine_are_found_in_every_kind_of_text(tmp_path, name):
    model = tmp_path / "work" / "models" / "mine"
    staged = written(tmp_path / "staged", f'{{"path": "{model.parent}/other"}}', name)
    assert [each.line for each in find_private_data(staged, [model])] == [2]
    assert list(find_private_data(written(tmp_path / "clean", '{"path": "models/mine"}', name), [model])) == []


def test_home_folders_of_the_user_and_of_others_are_found_and_those_of_examples_are_not(tmp_path):
    assert [each.line for each in find_private_data(written(tmp_path / "a", f"cd {Path.home()}/x"), [])] == [2]
    (other,) = find_private_data(written(tmp_path / "b", '"text": "/home/' + 'mary/texts.jsonl"'), [])
    assert other.kind == "a home folder"
    examples = "cd /home/rust/x; cd /home/user/x; ls /home; see example.org/home/mary/x"
    assert list(find_private_data(written(tmp_path / "c", examples), [])) == []


def test_the_sources_of_this_project_have_none(tmp_path):
    for name, content in source_files().items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    assert list(find_private_data(tmp_path, [Path("/a/folder/of/models/mine")])) == []
