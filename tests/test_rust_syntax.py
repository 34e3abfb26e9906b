"""The syntax tree's numbers and facts are those the docstrings define, for any text."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.rust.syntax import analyse, difficulty, level


def size(code, name):
    return getattr(analyse(code).metadata, name)


@pytest.mark.parametrize(
    "code, complexity",
    [
        ("", 0),
        ("fn f() {}", 1),
        ("trait T { fn f(); }", 0),
        ("fn f() { if a && b || c {} else if d {} else {} }", 5),
        ("fn f() { while a {} for x in y {} loop {} }", 4),
        ("fn f() { match x { 1 => 2, _ => 3 } }", 3),
        ("fn f() -> Option<u8> { a?.b()?; None }", 3),
        ("fn f() { if let Some(x) = a && x && b {} }", 4),
        ("fn f() { println!(\"{}\", if a { b } else { c }); }", 1),
    ],
)  # fmt: skip
def test_complexity_counts_functions_and_branches_outside_macros(code, complexity):
    assert size(code, "complexity") == complexity


@pytest.mark.parametrize(
    "code, nesting",
    [
        ("fn f() {}", 0),
        ("fn f() { if a {} if b {} }", 1),
        ("fn f() { if a {} else if b {} else if c {} }", 1),
        ("fn f() { for x in y { while a { if b { match c { _ => {} } } } } }", 4),
        ("fn f() { if a { if b {} } else if c { loop { if d {} } } }", 3),
    ],
)
def test_nesting_follows_blocks_but_not_else_if(code, nesting):
    assert size(code, "nesting") == nesting


@pytest.mark.parametrize(
    "code, count",
    [
        ("fn f<'a>(x: &'a u8) -> &'a u8 { x }", 3),
        ("fn f(x: &'static str, y: Foo<'_>) {}", 2),
        ("fn f() { 'outer: loop { break 'outer; } 'b: loop { continue 'b; } }", 0),
        ("fn f() { let c = 'a'; }", 0),
    ],
)
def test_labels_and_characters_are_no_lifetimes(code, count):
    assert size(code, "lifetime_complexity") == count


@pytest.mark.parametrize(
    "code, count",
    [
        ("fn f<T: A + B>(x: T) where T: C, {}", 3),
        ("fn f<'a, T: 'a + A>(x: &'a T) where 'a: 'static {}", 1),
        ("fn f(x: impl A + B + 'static, y: &dyn C) -> Box<dyn D + Send> {}", 5),
        ("fn f<T: ?Sized + for<'a> Fn(&'a u8)>() {}", 2),
        ("trait T: A + B {}", 2),
    ],
)
def test_bounds_are_counted_wherever_they_stand(code, count):
    assert size(code, "trait_bounds") == count


def test_all_kinds_of_unsafe_are_counted():
    code = "unsafe fn f() { unsafe {} } unsafe impl Send for X {} unsafe trait T {} impl X { pub unsafe fn g() {} }"
    assert size(code, "unsafe_blocks") == 5
    assert size('fn f() { let unsafe_ = "unsafe {}"; } // unsafe {}', "unsafe_blocks") == 0


@pytest.mark.parametrize(
    "body, placeholder",
    [
        ("", True),
        ("// nothing yet", True),
        ("todo!()", True),
        ('unimplemented!("later");', True),
        ("return panic!();", True),
        ("{ { core::unreachable!() } }", True),
        ("/* a */ std::todo!{} // b", True),
        ("let x = 1; todo!()", False),
        ("0", False),
        ('println!("todo!()")', False),
        ("loop {}", False),
    ],
)
def test_a_placeholder_does_nothing_but_stand_there(body, placeholder):
    assert bool(analyse(f"fn f() -> u8 {{ {body}\n}}").placeholders) is placeholder


def test_placeholders_have_the_names_of_their_functions():
    code = "impl A { fn one(&self) { todo!() } fn two(&self) { self.x() } } trait B { fn three(); fn four() {} }"
    assert analyse(code).placeholders == ("one", "four")


@pytest.mark.parametrize(
    "code, main",
    [
        ("fn main() {}", "plain"),
        ("pub fn main() /* c */ { run() }", "plain"),
        ("#![allow(x)]\n// c\nfn main() {}", "plain"),
        ("struct A;\n#[inline]\n// c\nfn main() {}", "other"),
        ("fn main() -> Result<(), E> { Ok(()) }", "returning"),
        ("pub fn main() -> u8 where u8: Copy { 0 }", "other"),
        ("async fn main() -> u8 { 0 }", "other"),
        ("fn main<T>() {}", "other"),
        ("fn main(x: u8) {}", "other"),
        ("fn main() where u8: Copy {}", "other"),
        ("async fn main() {}", "other"),
        ("const fn main() {}", "other"),
        ("fn main() {} fn main() {}", "other"),
        ("mod a { fn main() {} }", "none"),
        ("fn f() { fn main() {} }", "none"),
        ("// fn main() {}", "none"),
    ],
)
def test_only_the_plain_main_is_plain(code, main):
    assert analyse(code).main == main


@pytest.mark.parametrize(
    "code, foreign",
    [
        ("struct V; impl PartialEq<V> for u32 {}", True),
        ("struct V; impl From<V> for String {}", True),
        ("struct V; impl From<u8> for V {}", False),
        ("struct V<T>(T); impl<T> Iterator for V<T> {}", False),
        ("struct V; impl<'a> std::ops::Add for &'a V {}", False),
        ("struct V; impl Iterator for Box<V> {}", False),
        ("trait T {} impl T for u32 {}", False),
        ("trait T {} impl<X> T for X {}", False),
        ("trait T {} impl PartialEq for dyn T {}", False),
        ("struct V; impl PartialEq<V> for [u8; 3] {}", True),
        ("struct V; impl Extend<V> for Vec<V> {}", True),
        ("type V = u32; impl Add<W> for V {} struct W;", True),
        ("fn f() { struct V; impl PartialEq<V> for u32 {} }", True),
        ("macro_rules! m { ($t:ty) => { impl A for $t {} } }", True),
        ("macro_rules! m { ($($t:ty),*) => { $(impl A for $t {})* } }", True),
        ("struct V; impl V { fn f() {} }", False),
    ],
)
def test_an_impl_that_others_would_see_is_foreign(code, foreign):
    assert analyse(code).foreign_impl is foreign


def test_attributes_and_macros_are_named_once():
    report = analyse("#![allow(x)] #[derive(Debug)] #[derive(Clone)] #[a::b] struct S; fn f() { a!(); b::c![]; a!{} }")
    assert report.attributes == ("a::b", "derive", "!allow")
    assert report.macros == ("a", "b::c")
    assert analyse("macro_rules! mine { () => {} }").macros_defined == ("mine",)


def test_what_is_no_rust_has_an_error():
    assert analyse("Once upon a time").has_error and analyse("fn f( {").has_error
    assert not analyse("fn f() {}").has_error


@pytest.mark.parametrize("code", [b"\xff\xfe", b"\0" * 1000, "\ufefffn f() {}", "(" * 5_000, "a " * 50_000, "\ud800"])
def test_no_text_is_too_odd(code):
    assert analyse(code).metadata.bytes > 0


@given(st.one_of(st.text(), st.binary()))
def test_any_text_has_sizes(code):
    metadata = analyse(code).metadata
    assert 0 <= metadata.difficulty <= 1
    assert metadata.bytes == len(code if isinstance(code, bytes) else code.encode("utf-8", "surrogatepass"))


@given(
    st.sampled_from(["fn f() { if a {} }", "fn main() {}", "impl<T: A> B for T {}"]), st.text("ab {}\"'!", max_size=20)
)
def test_a_comment_changes_nothing_but_the_bytes(code, words):
    plain, commented = analyse(code), analyse(f"{code}\n// {words}\n")
    assert {**vars(commented.metadata), "bytes": 0} == {**vars(plain.metadata), "bytes": 0}
    assert {**vars(commented), "metadata": 0} == {**vars(plain), "metadata": 0}


counts = st.integers(0, 1000)


@given(counts, counts, counts, counts, counts)
def test_difficulty_grows_with_each_size_and_stays_in_its_range(complexity, lifetimes, bounds, unsafe, more):
    base = difficulty(complexity, lifetimes, bounds, unsafe)
    assert 0 <= base <= 1
    for sizes in (
        (complexity + more, lifetimes, bounds, unsafe),
        (complexity, lifetimes + more, bounds, unsafe),
        (complexity, lifetimes, bounds + more, unsafe),
        (complexity, lifetimes, bounds, unsafe + more),
    ):
        assert difficulty(*sizes) >= base


def test_difficulty_has_the_designs_weights():
    assert difficulty(10, 0, 0, 0) == 0.1 and difficulty(1000, 0, 0, 0) == 0.3
    assert difficulty(0, 2, 0, 0) == 0.2 and difficulty(0, 99, 0, 0) == 0.3
    assert difficulty(0, 0, 1, 0) == 0.2 and difficulty(0, 0, 0, 7) == 0.2
    assert difficulty(10**6, 10**6, 10**6, 1) == 1.0


def test_levels_meet_without_a_gap():
    assert [level(value) for value in (0, 0.2999, 0.3, 0.6999, 0.7, 1)] == [
        "easy", "easy", "medium", "medium", "hard", "hard",
    ]  # fmt: skip


def test_many_threads_may_parse_at_once():
    codes = [f"fn f{n}() {{ {'if a {} ' * n} }}" for n in range(200)]
    with ThreadPoolExecutor(8) as pool:
        assert [report.metadata.complexity for report in pool.map(analyse, codes)] == [n + 1 for n in range(200)]
