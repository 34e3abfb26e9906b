"""A publication has the code that its run recorded, even if the installed code has changed since."""

import json
import os
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import version

import pytest
from packaging.requirements import Requirement

from model_cards.snapshot import source
from model_cards.snapshot.recorded import RecordedCode, record_code
from model_cards.snapshot.requirements import pinned_requirements, required
from model_cards.snapshot.write import write_snapshot


def run_of(tmp_path, *stages):
    """The folder of a run whose stages are finished, and of the model that the last one left."""
    run = tmp_path / "run"
    recipe = {"model": {}, "training": {"optimizer": "adamw"}, "data": {"data_dir": "/data/mine"}}
    recipe |= {name: {"kind": "pretrain", "total_steps": 2, "peak_lr": 0.1} for name in stages}
    (run / "prepare").mkdir(parents=True)
    (run / "recipe.json").write_text(json.dumps(recipe))
    (run / "prepare" / "finished.json").write_text('{"texts": 7}')
    for name in stages:
        (run / name / "model").mkdir(parents=True)
        (run / name / "finished.json").write_text("{}")
    return run, run / stages[-1] / "model"


def change_code(monkeypatch, content):
    changed = dict(source.source_files()) | {"trainers/plots.py": content}
    monkeypatch.setattr(source, "source_files", lambda: changed)


def test_the_published_code_is_the_one_that_the_last_stage_ended_with(tmp_path, monkeypatch):
    run, model = run_of(tmp_path, "pretrain", "longer")
    for stage, content in (("prepare", b"first"), ("pretrain", b"first"), ("longer", b"second"), ("longer", b"third")):
        change_code(monkeypatch, content)
        record_code(run, stage)
    change_code(monkeypatch, b"changed since")
    write_snapshot(tmp_path / "repo", model, [], "you/it")
    assert (tmp_path / "repo" / "training_code" / "trainers" / "plots.py").read_bytes() == b"third"
    about = (tmp_path / "repo" / "training_code" / "README.md").read_text()
    first, second, third = (digests for digests in _digests(run))
    assert f"| prepare | other, `{first}` |" in about and f"| pretrain | other, `{first}` |" in about
    assert f"| longer | other, `{second}`, then this |" in about
    assert f"`{third}` over their names" in about


def _digests(run):
    recorded = RecordedCode.of_run(run)
    assert recorded is not None
    stages = recorded.stages
    return [*stages["pretrain"], *stages["longer"]]


def test_code_that_was_not_recorded_is_not_said_to_have_trained_the_model(tmp_path):
    _, model = run_of(tmp_path, "pretrain")
    write_snapshot(tmp_path / "repo", model, [], "you/it")
    about = (tmp_path / "repo" / "training_code" / "README.md").read_text()
    assert "did not record its code" in about
    assert (tmp_path / "repo" / "training_code" / "trainers" / "plots.py").is_file()


def test_settings_and_counts_of_the_data_are_published_without_folders_of_this_machine(tmp_path):
    _, model = run_of(tmp_path, "pretrain")
    write_snapshot(tmp_path / "repo", model, [], "you/it")
    folder = tmp_path / "repo" / "data_preprocessing"
    assert json.loads((folder / "data.json").read_text()) == {"data_dir": "not published"}
    assert json.loads((folder / "finished.json").read_text()) == {"texts": 7}


def test_equal_sources_give_equal_archives_and_a_digest_that_sha256sum_confirms(tmp_path, monkeypatch):
    for name in ("a.zip", "b.zip"):
        source.write_archive(tmp_path / name)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    before = source.source_digest()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        archive.extractall(tmp_path / "all")
    names = sorted(source.source_files())
    sums = subprocess.run(["sha256sum", *names], cwd=tmp_path / "all", capture_output=True, check=True).stdout
    found = subprocess.run(["sha256sum"], input=sums, capture_output=True, check=True).stdout
    assert found.decode().split()[0] == before
    change_code(monkeypatch, b"other")
    assert source.source_digest() != before


def test_requirements_name_every_direct_and_indirect_distribution_in_its_installed_version():
    pinned = {Requirement(line).name: line for line in pinned_requirements() if not line.startswith("#")}
    assert pinned["transformers"] == f"transformers=={version('transformers')}"
    assert {"mpmath", "httpcore2"} <= pinned.keys(), "of sympy of torch, and of httpx2"
    assert {Requirement(each).name for each in required()} <= pinned.keys()
    assert "pytest" not in pinned


def test_the_dockerfile_copies_and_installs_what_lies_beside_it(tmp_path):
    _, model = run_of(tmp_path, "pretrain")
    write_snapshot(tmp_path / "repo", model, [], "you/it")
    lines = (tmp_path / "repo" / "Dockerfile").read_text().splitlines()
    assert f"FROM python:{sys.version_info.major}.{sys.version_info.minor}-slim-trixie" in lines
    copied = [line.split()[-2] for line in lines if line.startswith("COPY")]
    assert copied == ["requirements.txt", "training_code"]
    assert all((tmp_path / "repo" / name).exists() for name in copied)
    assert not any("{" in line for line in lines if line.startswith(("FROM", "RUN")))
    # Programs that a model wrote are never run by root.
    assert lines.index("USER rust") < next(i for i, line in enumerate(lines) if line.startswith("ENTRYPOINT"))
    tomllib.loads((tmp_path / "repo" / "training_code" / "pyproject.toml").read_text())


@pytest.mark.slow
def test_the_published_code_installs_with_all_of_its_files_and_its_command(tmp_path):
    _, model = run_of(tmp_path, "pretrain")
    write_snapshot(tmp_path / "repo", model, [], "you/it")
    # As the Dockerfile does it; the libraries are those of this environment.
    options = ["--no-deps", "--no-index", "--no-build-isolation", "--target", tmp_path / "site"]
    code = tmp_path / "repo" / "training_code"
    subprocess.run([sys.executable, "-m", "pip", "install", *options, code], check=True)
    for name, content in source.source_files().items():
        assert (tmp_path / "site" / name).read_bytes() == content, name
    paths = os.environ | {"PYTHONPATH": str(tmp_path / "site")}
    command = [sys.executable, tmp_path / "site" / "bin" / "nanochat-ternary", "recipes"]
    subprocess.run(command, check=True, env=paths, cwd=tmp_path)


NEEDS_ROOT_OR_NETWORK = ("apt-get", "useradd", "rustup")


@pytest.mark.slow
def test_the_steps_of_the_dockerfile_make_an_environment_in_which_the_command_works(tmp_path):
    """Steps that need root, or rustup's servers, are those of an image alone; all others run here, one by one."""
    _, model = run_of(tmp_path, "pretrain")
    home = tmp_path / "repo"
    write_snapshot(home, model, [], "you/it")
    text = (home / "Dockerfile").read_text().replace("\\\n", " ")
    steps = [line.removeprefix("RUN ") for line in text.splitlines() if line.startswith("RUN ")]
    left_out = [step for step in steps if any(word in step for word in NEEDS_ROOT_OR_NETWORK)]
    assert len(steps) == 5 and len(left_out) == 3
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    variables["PATH"] = f"{home}/environment/bin:{os.path.dirname(sys.executable)}:{variables['PATH']}"
    for step in steps:
        if step not in left_out:
            subprocess.run(["sh", "-ec", step], cwd=home, env=variables, check=True)
    entry = json.loads(next(line for line in text.splitlines() if line.startswith("ENTRYPOINT ")).partition(" ")[2])
    shown = subprocess.run([*entry, "recipes"], cwd=home, env=variables, capture_output=True, text=True, check=True)
    assert "rustc" in shown.stdout and "sandbox" in shown.stdout.lower() and "config_b" in shown.stdout
    where = subprocess.run(["which", "nanochat-ternary"], env=variables, capture_output=True, text=True, check=True)
    assert where.stdout.startswith(str(home))
