"""The library is compiled once, also by processes that start together, and a failure says what to do."""

import ctypes
import subprocess
import sys

import pytest

from runtime import build
from tests.helpers.paths import ROOT


@pytest.fixture
def small_crate(tmp_path, monkeypatch):
    (tmp_path / "src").mkdir()
    (tmp_path / "src/lib.rs").write_text("#[no_mangle]\npub extern fn seven() -> i32 { 7 }\n")
    monkeypatch.setattr(build, "SOURCES", tmp_path / "src")
    monkeypatch.setenv(build.CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path


def test_processes_that_start_together_compile_once(small_crate):
    code = (
        "import pathlib, sys; from runtime import build; build.SOURCES = pathlib.Path(sys.argv[1]); "
        "print(build.library())"
    )
    start = [sys.executable, "-c", code, str(small_crate / "src")]
    pipe = subprocess.PIPE
    processes = [subprocess.Popen(start, stdout=pipe, stderr=pipe, text=True, cwd=ROOT) for _ in range(3)]
    outputs = [process.communicate() for process in processes]
    assert len({path for path, _ in outputs}) == 1 and outputs[0][0].strip().endswith(".so")
    assert sum("Compiling" in progress for _, progress in outputs) == 1
    assert {file.suffix for file in (small_crate / "cache").iterdir()} == {".so", ""}


def test_other_sources_and_compilers_give_other_libraries(small_crate, monkeypatch):
    first = build.library()
    (small_crate / "src/lib.rs").write_text("#[no_mangle]\npub extern fn eight() -> i32 { 8 }\n")
    assert build.library() != first
    (small_crate / "src/lib.rs").write_text("#[no_mangle]\npub extern fn seven() -> i32 { 7 }\n")
    assert build.library() == first
    monkeypatch.setattr(build, "_processor", lambda: "another")
    assert build.library() != first


def test_without_a_compiler_or_with_one_that_fails_there_is_one_sentence(small_crate, monkeypatch):
    (small_crate / "src/lib.rs").write_text("pub fn broken() -> i32 { }\n")
    with pytest.raises(ValueError, match="does not compile with .*rustc: error.*Update Rust"):
        build.library()
    monkeypatch.setenv("PATH", str(small_crate))
    with pytest.raises(ValueError, match="needs a Rust compiler: rustc was not found in PATH"):
        build.library()


def test_a_library_that_was_delivered_needs_no_compiler_and_is_replaced_with_the_sources(small_crate, monkeypatch):
    monkeypatch.setattr(build, "PREBUILT", small_crate / "prebuilt")
    first = build.prebuild()
    assert build.library() == first and ctypes.CDLL(str(first)).seven() == 7
    (small_crate / "src/lib.rs").write_text("#[no_mangle]\npub extern fn eight() -> i32 { 8 }\n")
    second = build.prebuild()
    assert [*build.PREBUILT.iterdir()] == [second]
    monkeypatch.setenv("PATH", str(small_crate))
    assert ctypes.CDLL(str(build.library())).eight() == 8
