"""Which files of a folder are read: what git and cargo call sources, and the others are counted."""

import subprocess

import pytest

from evaluation.rust_files import BUILD, HIDDEN, IGNORED, rust_files
from evaluation.suites.perplexity import read_texts
from trainers.data.sources import FolderSource

IGNORES = {
    ".gitignore": "# generated\n/generated/\n*.bak.rs\n!kept.bak.rs\nout/\nonly_root.rs\n",
    "inner/.gitignore": "!important.bak.rs\nlocal.rs\n/anchored.rs\n**/deep/*.rs\n",
    "inner/all/.gitignore": "*\n",
}
KEPT = {
    "lib.rs",
    "kept.bak.rs",
    "inner/important.bak.rs",
    "inner/x/kept.bak.rs",
    "inner/x/anchored.rs",
    "inner/generated/a.rs",
    "src/target/mod.rs",
    "src/a.rs",
    "inner/targets/a.rs",
    "inner/x/name with space.rs",
}
EXCLUDED = {
    "generated/a.rs",
    "x.bak.rs",
    "inner/y.bak.rs",
    "inner/local.rs",
    "inner/x/local.rs",
    "inner/anchored.rs",
    "inner/a/deep/b.rs",
    "inner/out/a.rs",
    "out/kept.bak.rs",
    "inner/all/a.rs",
    "inner/only_root.rs",
}
BUILT = {"target/debug/build/a/out/bindings.rs", "inner/target/a.rs"}
HIDDEN_FILES = {".cargo/registry/a.rs", ".hidden.rs"}


@pytest.fixture
def repository(tmp_path):
    for name in KEPT | EXCLUDED | BUILT | HIDDEN_FILES:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"// {name}\n")
    for name, lines in IGNORES.items():
        (tmp_path / name).write_text(lines)
    (tmp_path / "link").symlink_to(tmp_path / "src")
    return tmp_path


def names(folder, top):
    return {path.relative_to(top).as_posix() for path in rust_files(folder).paths}


def test_the_same_files_are_taken_that_git_would_add(repository):
    subprocess.run(["git", "init", "-q", str(repository)], check=True)
    listed = subprocess.run(
        ["git", "-C", str(repository), "ls-files", "-co", "--exclude-standard", "*.rs"], capture_output=True, text=True
    )
    assert names(repository, repository) == set(listed.stdout.splitlines()) - BUILT - HIDDEN_FILES == KEPT


def test_what_is_left_out_is_counted_by_its_reason(repository, capsys):
    found = rust_files(repository)
    assert found.left_out == {IGNORED: len(EXCLUDED), BUILD: len(BUILT), HIDDEN: len(HIDDEN_FILES)}
    source = FolderSource(repository)
    assert len(list(source.read())) == len(KEPT) and source.left_out == found.left_out
    read_texts(repository)
    (line,) = capsys.readouterr().out.splitlines()
    assert f"{len(KEPT)} files read" in line
    assert f"{len(BUILT)} {BUILD}" in line and f"{len(EXCLUDED)} {IGNORED}" in line


def test_rules_of_the_repository_around_a_folder_hold_in_it(repository):
    (repository / ".git").mkdir()
    inner = {name for name in KEPT if name.startswith("inner/")}
    assert names(repository / "inner", repository) == inner


def test_a_folder_that_is_asked_for_is_read_also_where_its_repository_excludes_it(repository):
    (repository / ".git").mkdir()
    assert names(repository / "generated", repository) == {"generated/a.rs"}
