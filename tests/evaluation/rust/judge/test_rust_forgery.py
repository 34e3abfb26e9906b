"""A report of hidden tests cannot be forged, not even by a candidate that may write all memory of its process."""

import logging

import pytest

from evaluation.rust import HiddenTests, RustVerifier
from evaluation.rust.judge import harness
from evaluation.rust.judge.reports import Request, read_runs

SIGNATURE = "fn twice(n: u32) -> u32;"
CHECKER = "for n in [3, 5, 8, 13, 21] { check!(twice(n) == 2 * n); }"
# Each case is told of by its line, so that the counters after five failed cases are 0, 5 and 1.
FIND_COUNTERS = """
static HERE: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(7);
fn twice{generics}(n: u32{more}) -> u32 {{
    if n == 21 {{
        let start = (&HERE as *const _ as usize) & !0xfff;
        for place in (start - 0x1000..start + 0x1000).step_by(4) {{
            let words = place as *mut u32;
            unsafe {{
                if [*words, *words.add(1), *words.add(2)] == [0, 4, 1] {{
                    (*words, *words.add(1), *words.add(2)) = (4, 4, 0);
                    return 42;
                }}
            }}
        }}
    }}
    0
}}
"""
WRITE_EVERYWHERE = """
use std::{{fs::File, io::Write, os::fd::FromRawFd}};
fn twice(n: u32) -> u32 {{
    for descriptor in 3..200 {{
        let mut file = unsafe {{ File::from_raw_fd(descriptor) }};
        let _ = file.write_all({text});
        std::mem::forget(file);
    }}
    n
}}
"""


@pytest.fixture(scope="module")
def verifier():
    with pytest.MonkeyPatch.context() as patch, RustVerifier(run_timeout=1) as verifier:
        patch.setenv("HF_ALLOW_CODE_EVAL", "1")
        yield verifier


def verdict_of(verifier, code, signature=SIGNATURE, checker=CHECKER):
    return verifier.verify([code], HiddenTests(signature, checker, allow_unsafe=True))[0]


def test_the_candidates_process_never_holds_what_its_answers_are_compared_with():
    tests = HiddenTests("fn name(n: u32) -> String;", 'let told = "never-told"; check!(name(1) == told);')
    assert tests.shared_because is None
    assert not any(b"never-told" in text for text in harness.server_files([tests], inside=True).values())
    assert any(b"never-told" in text for text in harness.checker_files([tests]).values())


def test_a_process_without_counters_has_none_to_write_to(verifier):
    code = FIND_COUNTERS.format(generics="", more="")
    verdict = verdict_of(verifier, code)
    assert (verdict.status, verdict.tests_passed) == ("tests_failed", 0)


def test_counters_that_were_written_to_do_not_fit_their_seal(verifier, caplog):
    signature, checker = "fn twice<T: Into<u32>>(n: T) -> u32;", CHECKER.replace("twice(n)", "twice::<u32>(n)")
    assert HiddenTests(signature, checker).shared_because == "`fn twice` is generic"
    code = FIND_COUNTERS.format(generics="<T: Into<u32>>", more="").replace("n: u32", "n: T")
    code = code.replace("if n == 21", "if Into::<u32>::into(n) == 21")
    with caplog.at_level(logging.WARNING):
        verdict = verdict_of(verifier, code, signature, checker)
    assert (verdict.status, verdict.diagnostics[0].category) == ("tests_failed", "forgery")
    assert "are not those that were counted" in verdict.diagnostics[0].message
    assert "tried to forge" in caplog.text and "static HERE" in caplog.text


@pytest.mark.parametrize(
    "text",
    ['b"x".repeat(9).as_slice()', "&[0; 64]", "&[255; 64]", "&[1, 0, 0, 0, 7]", 'b"0 finished 1 5 5 0 0 0\\n"'],
)
def test_what_a_candidate_writes_to_its_channel_is_an_answer_at_most(verifier, text):
    verdict = verdict_of(verifier, WRITE_EVERYWHERE.format(text=text))
    assert (verdict.status, verdict.tests_passed) == ("tests_failed", 0)


REQUEST = Request(nonce="0123", keys=(5, 7, 11, 13))
END = "0123 ended 0 1000 500 2048 \n"


@pytest.mark.parametrize(
    "line, outcome",
    [
        (f"finished 1 5 5 0 {REQUEST.seal(5, 5, 0)} 0", "finished"),
        (f"finished 0 4 5 2 {REQUEST.seal(4, 5, 2)} 0", "panicked"),
        (f"finished 1 5 5 0 {REQUEST.seal(4, 5, 1)} 0", "forged"),
        (f"finished 1 5 5 0 {REQUEST.seal(5, 5, 0)} 1", "forged"),
        (f"finished 1 101 21 0 {REQUEST.seal(101, 21, 0)} 0", "forged"),
        (f"finished 1 4 5 0 {REQUEST.seal(4, 5, 0)} 0", "forged"),
        (f"finished 1 5 5 9 {REQUEST.seal(5, 5, 9)} 0", "forged"),
        ("finished 1 5 5 0", "forged"),
        ("garbled", "forged"),
        ("died -6", "died"),
    ],
)
def test_a_report_whose_numbers_cannot_be_is_forged(line, outcome):
    (run,) = read_runs([REQUEST], f"0123 {line}\n{END}".encode())
    assert run.report.outcome == outcome


def test_a_second_report_and_one_of_another_run_count_for_nothing():
    line = f"finished 1 5 5 0 {REQUEST.seal(5, 5, 0)} 0\n"
    (twice,) = read_runs([REQUEST], f"0123 {line}0123 {line}{END}".encode())
    (other,) = read_runs([REQUEST], f"4567 {line}{END}".encode())
    assert (twice.report.outcome, other.report.outcome) == ("forged", "none")


def test_an_attempt_is_told_as_one_and_earns_nothing_beside_honest_ones(verifier):
    forged = WRITE_EVERYWHERE.format(text="&[255; 64]")
    honest = "fn twice(n: u32) -> u32 { 2 * n }"
    verdicts = verifier.verify([forged, honest], HiddenTests(SIGNATURE, CHECKER, allow_unsafe=True))
    assert [verdict.status for verdict in verdicts] == ["tests_failed", "valid"]
    assert verdicts[0].diagnostics[0].category == "forgery"
