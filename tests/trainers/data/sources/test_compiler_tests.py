"""The compiler's tests: their directives decide on edition, expectation and use."""

import gzip
import json
import os
import tarfile
from pathlib import Path

import pytest

from trainers.data.sources import COMPILE_FAIL, FILE, CompilerTestSource
from trainers.data.sources.compiler_tests import (
    AUXILIARY,
    DRIVER,
    FLAGS,
    KNOWN_BUG,
    OTHER_FILES,
    PLATFORM,
    REVISIONS,
    UNSTABLE,
    read_directives,
)

DATA = Path(os.environ.get("NANOCHAT_DATA", "")) / "rust_tests_ui.jsonl.gz"
MAIN = "fn main() {}\n"


@pytest.mark.parametrize(
    ("head", "edition", "accepted", "reason"),
    [
        ("//@ check-pass\n", "2015", True, None),
        ("// run-pass\n// edition:2021\n", "2021", True, None),
        ("//@ run-fail\n//@ edition: 2018..2024\n", "2018", True, None),
        ("//@ compile-flags: --edition=2024\n//@ build-pass\n", "2024", True, None),
        ("let x: u8 = 'c'; //~ ERROR mismatched\n", "2015", False, None),
        ("", "2015", False, None),
        ("// this is ignore-pass and only-sometimes\n//@ check-pass\n", "2015", True, None),
        ("// ignore-tidy-linelength\n//@ check-pass\n", "2015", True, None),
        ("//@ aux-build:helper.rs\n", "2015", False, AUXILIARY),
        ("//@ revisions: a b\n", "2015", False, REVISIONS),
        ("//@ compile-flags: -Zverbose\n", "2015", False, FLAGS),
        ("//@ known-bug: #1\n", "2015", False, KNOWN_BUG),
        ("//@ only-windows\n", "2015", False, PLATFORM),
        ("// ignore-android\n", "2015", False, PLATFORM),
        ("//@ edition: future\n", "2015", False, UNSTABLE),
        ("#![feature(rustc_attrs)]\n", "2015", False, UNSTABLE),
        ("#![cfg_attr(x, feature(y))]\n", "2015", False, UNSTABLE),
        ("mod other;\n", "2015", False, OTHER_FILES),
        ('const S: &str = include_str!("x");\n', "2015", False, OTHER_FILES),
    ],
)
def test_directives_of_both_styles_are_understood(head, edition, accepted, reason):
    found = read_directives(head + MAIN)
    assert (found.edition, found.accepted, found.reason) == (edition, accepted, reason)


def test_a_checkout_and_its_tarball_have_the_same_documents(tmp_path):
    files = {
        "tests/ui/a/pass.rs": "//@ check-pass\n" + MAIN,
        "tests/ui/fail.rs": "fn main() { 1u8 == 'c'; } //~ ERROR mismatched\n",
        "tests/ui/a/auxiliary/helper.rs": MAIN,
        "tests/ui-fulldeps/other.rs": MAIN,
        "tests/run-make/b/foo.rs": MAIN,
        "tests/run-make/b/rmake.rs": MAIN,
        "library/core/src/lib.rs": MAIN,
    }
    top = tmp_path / "rustc-1.95.0-src"
    for path, text in files.items():
        (top / path).parent.mkdir(parents=True, exist_ok=True)
        (top / path).write_text(text)
    with tarfile.open(tmp_path / "rustc.tar.xz", "w:xz") as tar:
        tar.add(top, arcname=top.name)
    for path in (top, tmp_path / "rustc.tar.xz"):
        source = CompilerTestSource(path)
        source.check()
        assert {(row.path, row.kind) for row in source.read()} == {
            ("tests/ui/a/pass.rs", FILE),
            ("tests/ui/fail.rs", COMPILE_FAIL),
            ("tests/run-make/b/foo.rs", FILE),
        }
        assert source.left_out == {AUXILIARY: 1, DRIVER: 1}


def test_another_folder_or_file_is_refused(tmp_path):
    (tmp_path / "src").mkdir()
    with pytest.raises(ValueError, match="must be a checkout of rust-lang/rust with tests/ui"):
        CompilerTestSource(tmp_path).check()
    (tmp_path / "a.tar.gz").write_text("no archive")
    with pytest.raises(ValueError, match="must be a folder, a .tar.gz or a .tar.xz"):
        CompilerTestSource(tmp_path / "a.tar.gz").check()


@pytest.mark.skipif(not DATA.is_file(), reason="needs NANOCHAT_DATA")
def test_expectations_agree_with_those_that_were_confirmed_by_the_compiler():
    with gzip.open(DATA) as lines:
        for row in map(json.loads, lines):
            found = read_directives(row["code"])
            assert (found.edition, found.accepted, found.reason) == (
                row["edition"],
                row["header_expects"] == "pass",
                None,
            ), row["path"]
