"""The cache gives back what was put in, to every process, and never makes a verdict worse than none."""

import json
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import evaluation.rust.cache as cache_module
from evaluation.rust.cache import FILE_NAME, VerdictCache, cache_key
from evaluation.rust.verdict import CHECKS, NOT_REACHED, STATUSES, CodeMetadata, Diagnostic, Verdict
from evaluation.rust.verifier import RustVerifier

VALID = Verdict("valid", dict.fromkeys(CHECKS, "ok"), rustc="1.95.0")
texts = st.text(max_size=30)
diagnostics = st.builds(
    Diagnostic, st.none() | texts, texts, texts, st.none() | st.integers(1), st.none() | st.integers(1), texts
)
sizes = st.integers(0, 10**6)
metadata = st.builds(CodeMetadata, *[sizes] * 7, st.floats(0, 1))
checks = st.fixed_dictionaries({check: st.sampled_from(["ok", "error", "not_reached"]) for check in CHECKS})
verdicts = st.builds(
    Verdict,
    st.sampled_from(STATUSES),
    checks,
    st.lists(diagnostics, max_size=3).map(tuple),
    st.none() | metadata,
    external=st.booleans(),
    seconds=st.floats(0, 1e6),
)


@given(verdicts)
def test_a_verdict_survives_json(verdict):
    assert Verdict.from_dict(json.loads(json.dumps(verdict.to_dict()))) == verdict


@pytest.mark.parametrize("change", [{"status": "fine"}, {"checks": {}}, {"unknown": 1}])
def test_what_is_no_verdict_is_refused(change):
    with pytest.raises((ValueError, TypeError)):
        Verdict.from_dict({**VALID.to_dict(), **change})


def test_a_verdict_cannot_be_changed():
    with pytest.raises(AttributeError):
        VALID.status = "invalid_syntax"


@given(st.lists(st.tuples(st.binary(max_size=5), st.sampled_from(["2018", "2021"]), st.none() | texts), unique=True))
def test_different_questions_have_different_keys(questions):
    keys = {cache_key(code, {"edition": edition}, tests) for code, edition, tests in questions}
    assert len(keys) == len(questions)


def test_code_and_question_cannot_be_shifted_into_each_other():
    assert cache_key(b"ab", {}, None) != cache_key(b"b", {}, "a")
    assert cache_key(b"", {"a": "b"}) != cache_key(b'"b"', {"a": ""})


@pytest.mark.parametrize("on_disk", [True, False])
def test_what_is_put_in_comes_out_marked(tmp_path, on_disk):
    cache = VerdictCache(tmp_path if on_disk else None)
    verdicts = {bytes([n]): replace(VALID, seconds=float(n)) for n in range(5)}
    cache.put(verdicts)
    assert cache.get([*verdicts, b"other"]) == {key: replace(v, cached=True) for key, v in verdicts.items()}
    assert len(cache) == 5


def test_another_process_reads_what_this_one_wrote(tmp_path):
    VerdictCache(tmp_path).put({b"key": VALID})
    assert VerdictCache(tmp_path).get([b"key"]) == {b"key": replace(VALID, cached=True)}


def test_the_tools_failure_is_not_kept(tmp_path):
    cache = VerdictCache(tmp_path)
    cache.put({b"key": Verdict("unavailable", NOT_REACHED)})
    assert cache.get([b"key"]) == {} and len(cache) == 0


def test_memory_is_bounded_and_keeps_what_was_used_last(monkeypatch):
    monkeypatch.setattr(cache_module, "MEMORY_ENTRIES", 3)
    cache = VerdictCache()
    for key in (b"a", b"b", b"c"):
        cache.put({key: VALID})
    cache.get([b"a"])
    cache.put({b"d": VALID})
    assert set(cache.get([b"a", b"b", b"c", b"d"])) == {b"a", b"c", b"d"}


def test_more_keys_than_one_statement_takes(tmp_path):
    cache = VerdictCache(tmp_path)
    keys = [str(n).encode() for n in range(2 * cache_module.KEYS_PER_QUERY + 1)]
    cache.put(dict.fromkeys(keys, VALID))
    assert set(VerdictCache(tmp_path).get(keys)) == set(keys)


@pytest.mark.parametrize(
    "damage", [b"not a database, but long enough to look at" * 30, b"SQLite format 3\0" + b"\xff" * 4000]
)
def test_a_damaged_file_is_put_aside_not_lost(tmp_path, damage):
    (tmp_path / FILE_NAME).write_bytes(damage)
    with pytest.warns(UserWarning, match="damaged"):
        cache = VerdictCache(tmp_path)
    cache.put({b"key": VALID})
    assert VerdictCache(tmp_path).get([b"key"])
    (aside,) = tmp_path.glob("*.unreadable-*")
    assert aside.read_bytes() == damage


def test_damage_found_while_reading_is_put_aside_too(tmp_path):
    cache = VerdictCache(tmp_path)
    cache.put({str(n).encode(): replace(VALID, rustc="x" * 500) for n in range(200)})
    cache.close()
    content = bytearray((tmp_path / FILE_NAME).read_bytes())
    content[4096:] = b"\xa5" * len(content[4096:])
    (tmp_path / FILE_NAME).write_bytes(content)
    with pytest.warns(UserWarning, match="damaged"):
        cache = VerdictCache(tmp_path)
        assert cache.get([b"7"]) == {}
    cache.put({b"7": VALID})
    assert cache.get([b"7"])


@pytest.mark.parametrize("lock", ["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"])
def test_a_file_that_another_process_is_creating_is_waited_for(tmp_path, lock):
    other = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None, check_same_thread=False)
    other.execute("CREATE TABLE begun (x)")
    other.execute(lock)
    release = threading.Timer(0.3, other.close)
    release.start()
    cache = VerdictCache(tmp_path)
    release.join()
    cache.put({b"key": VALID})
    assert VerdictCache(tmp_path).get([b"key"])


def test_a_file_that_stays_locked_is_named_as_locked(tmp_path, monkeypatch):
    monkeypatch.setattr(cache_module, "LOCK_SECONDS", 0.1)
    with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as other:
        other.execute("CREATE TABLE begun (x)")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(ValueError, match="in use by another process"):
            VerdictCache(tmp_path)


@pytest.mark.parametrize("value", ["{", "[]", "{}", "null", '{"status": "fine"}'])
def test_a_value_of_another_version_is_no_verdict(tmp_path, value):
    VerdictCache(tmp_path).close()
    with sqlite3.connect(tmp_path / FILE_NAME) as database:
        database.execute("INSERT INTO verdicts VALUES (?, ?)", (b"key", value))
    assert VerdictCache(tmp_path).get([b"key"]) == {}


def test_a_full_disk_costs_the_file_not_the_verdict(tmp_path):
    """In a file system of 64 KiB; in a process of its own, because mounting one needs namespaces."""
    script = f"""
        import os, sys, warnings
        sys.path.insert(0, {str(Path(cache_module.__file__).with_name("sandbox"))!r})
        import isolation
        proc = os.open("/proc", os.O_PATH)
        isolation.enter_user_namespace(isolation.CLONE_NEWNS, proc)
        isolation.mount("small", {str(tmp_path)!r}, "tmpfs", 0, "size=64k")
        from evaluation.rust import RustVerifier
        codes = [f"pub fn f() -> u32 {{{{ {{n}} }}}} // " + "x" * 500 for n in range(150)]
        codes.append("pub fn f() -> u32 {{ 1.0 }}")
        with warnings.catch_warnings(record=True) as caught, RustVerifier(cache_dir={str(tmp_path)!r}) as verifier:
            warnings.simplefilter("always")
            print(sum(verdict.ok for verdict in verifier.verify(codes)), verifier.verify(codes)[-1].status)
            print(len([w for w in caught if "in memory only" in str(w.message)]))
    """
    finished = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True)
    if "unshare" in finished.stderr:
        pytest.skip("this machine gives no user namespaces")
    assert finished.stdout.split() == ["150", "semantic_error", "1"], finished.stderr


def test_a_directory_that_cannot_be_written_is_refused_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cache_dir must be a directory that can be written"):
        RustVerifier(cache_dir=tmp_path / "file" / "below")


def write_many(directory, start):
    cache = VerdictCache(directory)
    for number in range(start, start + 50):
        cache.put({str(number).encode(): VALID})


def test_processes_write_at_the_same_time_without_losing_anything(tmp_path):
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_many, args=(tmp_path, start)) for start in (0, 50, 100)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(VerdictCache(tmp_path)) == 150


def test_a_process_killed_while_writing_leaves_a_whole_file(tmp_path):
    script = f"""
        from dataclasses import replace
        from evaluation.rust.cache import VerdictCache
        from evaluation.rust.verdict import CHECKS, Verdict
        cache, number = VerdictCache({str(tmp_path)!r}), 0
        while True:
            cache.put({{str(number).encode(): Verdict("valid", dict.fromkeys(CHECKS, "ok"), rustc="x" * 1000)}})
            number += 1
            print(number, flush=True)
    """
    writer = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE)
    time.sleep(0.05)
    for line in writer.stdout:
        if int(line) >= 100:
            os.kill(writer.pid, signal.SIGKILL)
            break
    writer.wait()
    cache = VerdictCache(tmp_path)
    assert len(cache.get([str(number).encode() for number in range(100)])) == 100


def test_the_next_run_asks_the_compiler_nothing(tmp_path, monkeypatch):
    codes = ["pub fn f() {}", "pub fn f() -> u32 { 1.0 }"]
    with RustVerifier(cache_dir=tmp_path) as verifier:
        first = verifier.verify(codes)
    with RustVerifier(cache_dir=tmp_path) as verifier:
        monkeypatch.setattr(verifier.resources.sandbox, "run", None)
        second = verifier.verify(codes)
    assert second == [replace(verdict, cached=True) for verdict in first]


@pytest.mark.parametrize("setting", [{"edition": "2018"}, {"timeout": 5.0}])
def test_another_setting_is_another_question(tmp_path, setting):
    with RustVerifier(cache_dir=tmp_path) as verifier:
        verifier.verify(["pub fn f() {}"])
    with RustVerifier(cache_dir=tmp_path, **setting) as verifier:
        assert not verifier.verify(["pub fn f() {}"])[0].cached
