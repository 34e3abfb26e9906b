"""Counts in the syntax tree of Rust, each by its definition, and forms that must compile alone, each by name."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.rust.syntax.analysis import analyze, difficulty, level

PROGRAM = """
use std::fmt;
struct Point<'a, T: Copy> { name: &'a str, at: T }
impl<'a, T: Copy + fmt::Debug> fmt::Display for Point<'a, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { write!(f, "{}", self.name)?; Ok(()) }
}
fn main() { if true && !false { unsafe { dangerous() } } else { todo!() } }
"""
COUNTS = st.integers(0, 10_000)


def metadata(code):
    return analyze(code).metadata


def is_foreign(code):
    return analyze(code).foreign_impl


@pytest.mark.parametrize(
    ("body", "complexity"),
    [
        ("", 1),
        ("if a {} else if b {} else {}", 3),
        ("while a {} for x in y {} loop {}", 4),
        ("match x { 1 => {} 2 | 3 => {} _ if a && b => {} }", 5),
        ("g()?; h()?", 3),
        ("a && b || c & d | e", 3),
        ("if let Some(x) = a && b && let Some(y) = c {}", 4),
        ("fn nested() {} let closure = |x| x;", 2),
        ("m!(if a && b { match c {} })", 1),
    ],
)
def test_complexity_counts_functions_branches_arms_and_lazy_operators(body, complexity):
    assert metadata(f"fn f() {{ {body} }}").complexity == complexity


@pytest.mark.parametrize(
    ("body", "nesting"),
    [
        ("{ { unsafe { || async {} } } }", 0),
        ("if a {} if b {} loop {}", 1),
        ("if a {} else if b {} else if c { } else {}", 1),
        ("if a {} else /* why */ if b { while c {} }", 2),
        ("if a { if b {} }", 2),
        ("if a {} else { if b {} }", 2),
        ("match x { 1 => loop { for y in z {} } }", 3),
        ("'a: loop { 'b: loop { break 'a } }", 2),
    ],
)
def test_nesting_is_that_of_control_flow_and_an_else_if_goes_no_deeper(body, nesting):
    assert metadata(f"fn f() {{ {body} }}").nesting == nesting


def test_labels_of_loops_characters_and_tokens_of_macros_are_no_lifetimes():
    assert metadata("fn f() { 'a: loop { while b { break 'a } continue 'a } }").lifetime_complexity == 0
    assert metadata("fn f() { let c = 'a'; m!('b) }").lifetime_complexity == 0
    assert metadata("fn f<'a>(x: &'a u8, y: &'static u8, z: A<'_>) {}").lifetime_complexity == 4


@pytest.mark.parametrize(
    ("code", "bounds"),
    [
        ("fn f<T: A + B>() where T: C, for<'a> &'a T: D {}", 4),
        ("fn f<'a, 'b: 'a, T: 'a + 'static>() where 'b: 'static {}", 0),
        ("fn f(x: impl A + B, y: &(dyn C + 'static + D), z: Box<dyn E>) {}", 5),
        ("fn f(x: &dyn for<'a> Fn(&'a u8), y: impl for<'a> Fn(&'a u8)) {}", 2),
        ("fn f<T: ?Sized>(x: impl ?Sized) {}", 2),
        ("trait A: B + C { type D: E; }", 3),
        ("fn f<'a>() -> impl Sized + use<'a> {}", 1),
        ("fn f<T: A + /* and */ B>() {}", 2),
    ],
)
def test_only_traits_are_trait_bounds(code, bounds):
    assert metadata(code).trait_bounds == bounds


def test_unsafe_code_is_counted_and_unsafe_function_pointers_are_not():
    assert metadata("unsafe trait A { unsafe fn b(); } pub unsafe trait C {}").unsafe_blocks == 3
    assert metadata("unsafe impl A for B { unsafe extern fn b() { unsafe {} } }").unsafe_blocks == 3
    assert metadata("struct S(unsafe fn(), for<'a> unsafe extern \"C\" fn(&'a u8)); m!(unsafe {});").unsafe_blocks == 0


def test_functions_are_those_with_a_body():
    code = 'trait A { fn a(); fn b() {} } impl C { fn d() { fn e() {} } } extern "C" { fn f(); }'
    assert metadata(code).functions == 3


@pytest.mark.parametrize(
    ("code", "main"),
    [
        ("", "none"),
        ("mod m { fn main() {} } fn f() { fn main() {} }", "none"),
        ("fn main() {}", "plain"),
        ("\ufeff/// Starts.\r\npub(crate) fn main /* ! */ () { return; }\r\n", "plain"),
        ("fn main() {} fn main() {}", "other"),
        ("#[inline] /* why */ fn main() {}", "other"),
        ("fn main() { #![allow(unused)] }", "plain"),
        ("async fn main() {}", "other"),
        ("const fn main() {}", "other"),
        ("unsafe fn main() {}", "other"),
        ('extern "C" fn main() {}', "other"),
        ("fn main<T>() {}", "other"),
        ("fn main() where {}", "other"),
        ("fn main(x: u8) {}", "other"),
        ("fn main() -> () {}", "returning"),
        ("fn r#main() {}", "plain"),
    ],
)
def test_a_plain_main_is_the_only_one_and_has_nothing_more(code, main):
    assert analyze(code).main == main


@pytest.mark.parametrize(
    "code",
    [
        "impl Local { }",
        "trait Local {} impl Local for Vec<u8> {}",
        "trait Local<T> {} impl<T> Local<u8> for T {}",
        "struct Local; impl std::fmt::Display for Local {}",
        "enum Local<T> { A(T) } impl<T> From<u8> for Local<T> {}",
        "union Local { a: u8 } impl Foreign for Local {}",
        "trait Local {} impl Foreign for dyn Local {}",
        "struct Local; unsafe impl Send for Local {} impl !Sync for Local {}",
        "fn f(x: impl Foreign) -> impl Foreign {}",
    ],
)
def test_an_impl_with_a_trait_or_type_of_the_file_is_local(code):
    assert not is_foreign(code)


@pytest.mark.parametrize(
    "code",
    [
        "struct Local; impl From<Local> for Vec<u8> {}",
        "struct Local; impl From<Local> for Vec<Local> {}",
        "struct Local; impl PartialEq<Local> for u8 {}",
        "struct Local; impl Foreign for (Local, Local) {}",
        "struct Local; impl Add for &Local {}",
        "struct Local; impl Foreign for Box<Local> {}",
        "struct Local; impl Foreign for [Local] {}",
        "struct Local; impl Foreign for fn(Local) {}",
        "struct Local; impl<T> Foreign<Local> for T {}",
        "struct Local; mod m { fn f() { impl From<super::Local> for String {} } }",
        "type Alias = String; struct Local; impl From<Local> for Alias {}",
        "trait Display {} struct Local; impl std::fmt::Display for Vec<Local> {}",
        "struct Local; impl<Local> Foreign for Local {}",
    ],
)
def test_an_impl_that_other_files_could_notice_is_foreign(code):
    assert is_foreign(code)


@pytest.mark.parametrize(
    "body", ["impl A for u8 {}", "$(impl A for $t {})*", "$($(impl A for $t {})*)*", "{ mod m { impl A for u8 {} } }"]
)
def test_an_impl_among_the_tokens_of_a_macro_is_foreign(body):
    assert is_foreign(f"macro_rules! m {{ ($($t:ty),*) => {{ {body} }} }}")
    assert is_foreign(f"fn f() {{ m! {{ {body} }} }}")


def test_a_macro_may_implement_a_trait_of_the_file():
    assert not is_foreign("trait Own {} macro_rules! m { ($($t:ty)*) => { $(impl Own for $t {})* } } m!(u8 u16);")
    assert is_foreign("trait Own {} macro_rules! m { ($($t:ty)*) => { $(impl Other<Own> for $t {})* } } m!(u8);")
    assert is_foreign("trait Own {} m!(impl Own);")


def test_modules_of_other_files_are_seen_also_in_macros():
    assert analyze("mod a { pub mod b; }").bodiless_module
    assert analyze("macro_rules! m { ($($a:ident)*) => { $(mod $a;)* } }").bodiless_module
    assert not analyze("mod a { mod b {} } // mod c;").bodiless_module


@pytest.mark.parametrize(
    "body",
    [
        "",
        " /* later */ ",
        "todo!()",
        "unimplemented![];",
        'unreachable!("{}", x); ;',
        'core::panic!("not yet")',
        "return todo!();",
        "{ { std :: todo!() } } // later",
        "unsafe { todo!() }",
        "()",
        "return;",
    ],
)
def test_a_function_that_does_nothing_is_a_placeholder(body):
    assert analyze(f"fn f() {{ {body}\n }}").placeholders == ("f",)


@pytest.mark.parametrize("body", ["1", "log(); todo!()", "fn g() { 1 }", "if a { todo!() }", "my_todo!()", "todo()"])
def test_a_function_that_does_something_is_no_placeholder(body):
    assert analyze(f"fn f() {{ {body} }}").placeholders == ()


def test_placeholders_come_in_the_order_of_the_file():
    names = tuple(f"f{number}" for number in range(20))
    assert analyze("mod m { " + " ".join(f"fn {name}() {{ {{}} }}" for name in names) + "}").placeholders == names


def test_supers_count_that_stay_within_the_files_own_modules():
    code = "mod a { use super::b; mod c { use super::super::b; pub(super) fn f() {} } } use super::x; m!(super);"
    assert analyze(code).inner_supers == 4
    assert analyze("mod a { use super::super::b; }").inner_supers == 0


def test_names_of_attributes_and_macros_are_sorted_and_given_once():
    code = "#![allow(a)] #[rustfmt::skip] #[derive(A)] #[derive(B)] #[unsafe(no_mangle)] fn f() {"
    report = analyze(code + " std::println!(); b!{} b![] } macro_rules! b { () => { hidden!() } }")
    assert report.attributes == ("derive", "no_mangle", "rustfmt::skip", "!allow")
    assert (report.macros, report.macros_defined) == (("b", "std::println"), ("b",))


def test_what_does_not_parse_is_an_error_and_still_measured():
    assert not analyze(PROGRAM).has_error
    broken = analyze(PROGRAM + "fn broken( {")
    assert broken.has_error and broken.metadata.functions >= 2


@settings(max_examples=50)
@given(source=st.text() | st.binary() | st.text(alphabet="fn main(){}<>'\"/*!#[]impl for &&\0\r\n;:"))
def test_any_text_is_analyzed(source):
    size = len(source.encode("utf-8", "surrogatepass") if isinstance(source, str) else source)
    report = analyze(source)
    assert report.metadata.bytes == size and 0 <= report.metadata.difficulty <= 1


def test_a_lone_surrogate_is_no_failure():
    assert metadata("\ud800").bytes == 3


@settings(max_examples=50)
@given(comment=st.text(alphabet=st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"])))
def test_a_comment_changes_nothing_but_the_size(comment):
    before, after = analyze(PROGRAM), analyze(f"{PROGRAM}// {comment}\n")
    resized = dataclasses.replace(after.metadata, bytes=before.metadata.bytes)
    assert dataclasses.replace(after, metadata=resized) == before
    assert after.metadata.bytes > before.metadata.bytes


@given(counts=st.tuples(COUNTS, COUNTS, COUNTS, COUNTS), more=st.tuples(COUNTS, COUNTS, COUNTS, COUNTS))
def test_difficulty_is_in_the_unit_interval_and_never_falls(counts, more):
    greater = [count + extra for count, extra in zip(counts, more, strict=True)]
    assert 0 <= difficulty(*counts) <= difficulty(*greater) <= 1


def test_difficulty_has_the_designs_weights():
    assert difficulty(10, 0, 0, 0) == 0.1 and difficulty(1000, 0, 0, 0) == 0.3
    assert difficulty(0, 2, 0, 0) == 0.2 and difficulty(0, 99, 0, 0) == 0.3
    assert difficulty(0, 0, 1, 0) == 0.2 and difficulty(0, 0, 0, 7) == 0.2


def test_levels_begin_at_their_bounds():
    assert [difficulty(0, 0, 0, 0), difficulty(10**6, 10**6, 10**6, 1)] == [0, 1]
    assert [level(value) for value in (0, 0.299, 0.3, 0.699, 0.7, 1)] == ["easy"] * 2 + ["medium"] * 2 + ["hard"] * 2


@pytest.mark.parametrize(
    "code",
    [
        "fn f() { a " + "&& a " * 8000 + "}",
        "fn f() { m!" + "(" * 8000 + ")" * 8000 + " }",
        "type A = dyn B" + " + C" * 8000 + ";",
        "impl A for " + "Box<" * 8000 + "u8" + ">" * 8000 + " {}",
        "fn f() { if a {}" + " else if b {}" * 8000 + " }",
        "fn f() " + "{" * 8000 + "}" * 8000,
    ],
    ids=["operators", "tokens", "bounds", "types", "branches", "blocks"],
)
def test_long_and_deep_code_needs_no_stack(code):
    # A search that is quadratic in the depth takes seconds for most of these, instead of a twentieth of one.
    assert not analyze(code).has_error


def test_threads_get_what_one_thread_gets():
    codes = [PROGRAM * (1 + number % 7) for number in range(200)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(analyze, codes)) == [analyze(code) for code in codes]
