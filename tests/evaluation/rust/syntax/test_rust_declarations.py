"""Whatever type a signature has, the judge's own text of it is Rust, and a fault of the tests is theirs."""

import time
import tomllib
from concurrent.futures import ThreadPoolExecutor

import pytest

from evaluation.rust import HiddenTests, RustVerifier
from tests.helpers.paths import HELPERS

FORMS = tomllib.loads((HELPERS / "signatures.toml").read_text())["form"]


@pytest.fixture(scope="module")
def verifier():
    with pytest.MonkeyPatch.context() as patch, RustVerifier(run_timeout=1) as verifier:
        patch.setenv("HF_ALLOW_CODE_EVAL", "1")
        yield verifier


def test_signatures_of_every_form_are_met_by_code_of_that_form(verifier):
    tests = [HiddenTests(form["signature"], f"check!({form['case']});") for form in FORMS]
    verifier.check_tests(tests)
    verdicts = verifier.verify([form["code"] for form in FORMS], tests)
    pairs = zip(FORMS, verdicts, strict=True)
    failed = {form["name"]: verdict.diagnostics for form, verdict in pairs if not verdict.ok}
    assert not failed


@pytest.mark.parametrize("declared", ["async fn f();", 'extern "C" fn f();', "unsafe fn f();", "const unsafe fn f();"])
def test_functions_that_are_no_plain_ones_are_refused_with_what_they_are(declared):
    with pytest.raises(ValueError, match=f"plain functions.* not {declared.split(' fn')[0]}"):
        HiddenTests(declared, "check!(true);")


@pytest.mark.parametrize(
    "signature, checker, told",
    [
        ("fn f(x: u8) -> u8;", 'check!(f(1) == "1");', "expected `u8`, found `&str`"),
        ("fn f(x: u8) -> u8;", "check!(f(1, 2) == 1);", "takes 1 argument"),
        ("fn f(x: u8) -> HashMap<u8, u8>;", "check!(f(1).is_empty());", "cannot find type `HashMap`"),
        ("fn f() -> impl Iterator<Item = u8>;", 'check!(f().sum::<u8>() == "");', "E0308"),
        ("fn f() -> impl Fn(u8, u8) -> u8;", "check!(f()(1) == 1);", "E0057"),
        ("fn f<T: Copy>(x: T) -> T;", 'check!(f(String::new()) == "");', "E0277"),
        ("fn f(x: u8) -> u8;", "check!(g(1) == 1);", "cannot find function `g`"),
        ("fn f(x: Str) -> u8;", "", "cannot find type `Str`"),
    ],
)
def test_a_checker_that_cannot_compile_is_refused_and_no_completion_blamed(verifier, signature, checker, told):
    good = HiddenTests("fn f(x: u8) -> u8;", "check!(f(1) == 1);")
    wrong = HiddenTests(signature, checker)
    with pytest.raises(ValueError, match=r"(?s)checker must compile with functions of the signature's types.*" + told):
        verifier.check_tests([good, wrong])
    verifier.check_tests([good])


def test_without_being_looked_at_first_such_a_checker_raises_where_code_would_be_blamed(verifier):
    wrong = HiddenTests("fn f(x: u8) -> u8;", 'check!(f(1) == "1");')
    with pytest.raises(ValueError, match="checker must compile"):
        verifier.verify(["fn f(x: u8) -> u8 { x }"], wrong)
    generic = HiddenTests("fn f<T: Copy>(x: T) -> T;", 'check!(f(1) == "1");')
    with pytest.raises(ValueError, match="checker must compile"):
        verifier.verify(["fn f<T: Copy>(x: T) -> T { x }"], generic)


def test_a_faulty_checker_of_one_caller_is_not_raised_to_another_who_waits_for_the_same_build(verifier):
    signature, code = "fn f(x: u8) -> u8;", "fn f(x: u8) -> u8 { x }"
    wrong, good = HiddenTests(signature, 'check!(f(2) == "2");'), HiddenTests(signature, "check!(f(2) == 2);")
    checkers = verifier.resources.checkers
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(checkers.programs, [good, wrong])
        while good not in checkers._built and not first.done():
            time.sleep(0.001)
        second = pool.submit(checkers.programs, [good])
        with pytest.raises(ValueError, match="checker must compile"):
            first.result()
        assert set(second.result()) == {good}
    assert verifier.verify([code], good)[0].status == "valid"


def test_code_of_another_type_is_the_codes_fault(verifier):
    tests = HiddenTests("fn f(x: u8) -> u8;", "check!(f(1) == 1);")
    codes = ["fn f(x: u16) -> u8 { x as u8 }", "fn f(x: u8) -> u16 { x.into() }", "fn f() -> u8 { 1 }"]
    verdicts = verifier.verify(codes, tests)
    assert [(verdict.status, verdict.diagnostics[0].category) for verdict in verdicts] == [
        ("tests_failed", "signature")
    ] * 3
