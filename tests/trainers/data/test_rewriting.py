"""Rewriting Rust: names follow their scopes, and what is exchanged or written otherwise means the same."""

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.rust import RustVerifier
from evaluation.rust.syntax.nodes import walk
from trainers.data.rewriting.annotations import probe_types, vary_types
from trainers.data.rewriting.bindings import find_bindings, parse, text
from trainers.data.rewriting.forms import find_rewrites
from trainers.data.rewriting.renaming import apply_edits, canonical, plausible_names, rename
from trainers.data.rewriting.reordering import reorder
from trainers.data.sources import read_builtin

BUILTIN = [row.code for row in read_builtin()]


def numbered(code):
    """Every name that may be, replaced by what it is and its number in the order of the text."""
    found = iter(range(1000))
    return rename(code, lambda binding, taken: f"{binding.kind[0].upper()}{next(found)}")


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("fn f(x: u8) { let x = x + 1; g(x); }", "fn f(P0: u8) { let L1 = P0 + 1; g(L1); }"),
        ("fn f(x: u8) { { let x = 2; g(x); } g(x) }", "fn f(P0: u8) { { let L1 = 2; g(L1); } g(P0) }"),
        ("fn f(x: u8) { h(|x| x + 1, x) }", "fn f(P0: u8) { h(|L1| L1 + 1, P0) }"),
        ("fn f(x: u8) { fn g(x: u8) -> u8 { x } g(x); }", "fn f(P0: u8) { fn g(P1: u8) -> u8 { P1 } g(P0); }"),
        ("fn f(p: P) { p.x(p.y); P { p }; }", "fn f(P0: P) { P0.x(P0.y); P { p: P0 }; }"),
        (
            "fn f(P { x, ref y, z: w }: P) { x + y + w }",
            "fn f(P { x: P0, y: ref P1, z: P2 }: P) { P0 + P1 + P2 }",
        ),
        (
            "fn f(v: V) { match v { A(x) | B(x) if x > 0 => x, None => 0, k @ 1..=2 => k } }",
            "fn f(P0: V) { match P0 { A(L1) | B(L1) if L1 > 0 => L1, None => 0, L2 @ 1..=2 => L2 } }",
        ),
        (
            "fn f(x: X) { if let Some(x) = x { x } else { g(x) } }",
            "fn f(P0: X) { if let Some(L1) = P0 { L1 } else { g(P0) } }",
        ),
        (
            "fn f(x: X) { let Some(x) = x else { return g(x) }; x }",
            "fn f(P0: X) { let Some(L1) = P0 else { return g(P0) }; L1 }",
        ),
        (
            "fn f(x: X) { while let Some(x) = x.pop() { g(x) } }",
            "fn f(P0: X) { while let Some(L1) = P0.pop() { g(L1) } }",
        ),
        ("fn f() { 'a: for a in b { break 'a; } a }", "fn f() { 'a: for L0 in b { break 'a; } a }"),
        (
            "impl<'a, T: B> S<'a, T> { fn f<U>(&'a self, u: U) -> T { T::new(u) } }",
            "impl<'L0, G1: B> S<'L0, G1> { fn f<G2>(&'L0 self, P3: G2) -> G1 { G1::new(P3) } }",
        ),
        ("fn f<T, F: Fn(T, T) -> T>(g: F, t: T) {}", "fn f<G0, G1: Fn(G0, G0) -> G0>(P2: G1, P3: G0) {}"),
        ("fn f<const N: usize>(a: [u8; N]) -> usize { N }", "fn f<const G0: usize>(P1: [u8; G0]) -> usize { G0 }"),
        (
            "fn f(a: A) { vec![a, b.a, a.b, A::a, a!(), vec![a]]; }",
            "fn f(P0: A) { vec![P0, b.a, P0.b, A::a, a!(), vec![P0]]; }",
        ),
        ("fn f(a: A) { vec![stringify!(a), a]; }", "fn f(a: A) { vec![stringify!(a), a]; }"),
        ("fn f(a: A, b: B) { vec![mine!(a), b && !(b)]; }", "fn f(a: A, P0: B) { vec![mine!(a), P0 && !(P0)]; }"),
        ('fn f(a: A, b: B) { println!("{a} {}", b); }', 'fn f(a: A, P0: B) { println!("{a} {}", P0); }'),
        ('fn f(a: A) { format!("{{a}} {:a$}", a) }', 'fn f(a: A) { format!("{{a}} {:a$}", a) }'),
        ('fn f(a: A, b: B) { format!("{b:>a$} {:0a$}", 1) }', 'fn f(a: A, b: B) { format!("{b:>a$} {:0a$}", 1) }'),
        ('fn f<const N: usize>() { format!("{N}") }', 'fn f<const N: usize>() { format!("{N}") }'),
        ("fn f(a: A) { mine!(a); }", "fn f(a: A) { mine!(a); }"),
        (
            "fn f(a: A) { macro_rules! m { () => { a } } let a = 1; m!(); }",
            "fn f(a: A) { macro_rules! m { () => { a } } let a = 1; m!(); }",
        ),
        ("fn f(a: A) { stringify!(a); }", "fn f(a: A) { stringify!(a); }"),
        # The condition is the message of the panic, unless there is one.
        ("fn f(a: A, b: B) { assert!(a > 0); g(b); }", "fn f(a: A, P0: B) { assert!(a > 0); g(P0); }"),
        ("fn f(a: A) { vec![debug_assert!(g::<A, B>(a),)]; }", "fn f(a: A) { vec![debug_assert!(g::<A, B>(a),)]; }"),
        ('fn f(a: A) { assert!(a > 0, "few"); }', 'fn f(P0: A) { assert!(P0 > 0, "few"); }'),
        ("fn f(a: A) { assert_eq!(a, 0); }", "fn f(P0: A) { assert_eq!(P0, 0); }"),
        ('/// Of `a`.\nfn f(a: A) -> &str { "a" }', '/// Of `P0`.\nfn f(P0: A) -> &str { "a" }'),
        ("const a: u8 = 1; fn f() -> u8 { a }", "const a: u8 = 1; fn f() -> u8 { a }"),
        (
            "const a: u8 = 1; fn f(x: u8) { match x { a => 1, b => b } }",
            "const a: u8 = 1; fn f(P0: u8) { match P0 { a => 1, L1 => L1 } }",
        ),
        (
            "use m::{A as a, b}; fn f(x: u8) { match x { a => 1, b => 2, c => c } }",
            "use m::{A as a, b}; fn f(P0: u8) { match P0 { a => 1, b => 2, L1 => L1 } }",
        ),
        (
            "constant!(a); fn f(x: u8) { match x { a => 1, b => b } }",
            "constant!(a); fn f(P0: u8) { match P0 { a => 1, L1 => L1 } }",
        ),
        (
            "enum E { a, b } fn f(x: E) { match x { a => 1, b => 2 } }",
            "enum E { a, b } fn f(P0: E) { match P0 { a => 1, b => 2 } }",
        ),
    ],
)
def test_a_name_changes_where_it_is_bound_and_meant_and_nowhere_else(code, expected):
    assert numbered(code) == expected


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), code=st.sampled_from(BUILTIN))
def test_other_names_leave_the_canonical_form_and_all_other_tokens_alone(seed, code):
    renamed = rename(code, plausible_names(random.Random(seed)))
    assert canonical(renamed) == canonical(code)

    def kept(source):
        """What is never renamed: fields, methods, macros, strings."""
        kinds = {"field_identifier", "string_content", "shorthand_field_identifier", "shorthand_field_initializer"}
        return Counter(text(node) for node in walk(parse(source)) if node.type in kinds)

    assert kept(renamed) == kept(code)


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), code=st.sampled_from(BUILTIN))
def test_new_names_are_new_and_no_keywords(seed, code):
    before = {binding.name for binding in find_bindings(parse(code))}
    others = {text(node) for node in walk(parse(code)) if not node.child_count} - before
    renamed = rename(code, plausible_names(random.Random(seed)))
    assert others.isdisjoint({binding.name for binding in find_bindings(parse(renamed))} - before)


def test_the_canonical_form_tells_constants_and_operators_apart():
    forms = [canonical(f"fn f(x: u8) -> u8 {{ x {sign} {number} }}") for sign in "+-" for number in (1, 2)]
    assert len(set(forms)) == 4
    assert canonical("fn g(y: u8) -> u8 {\n    // note\n    y + 1\n}") == forms[0]


@pytest.mark.parametrize(
    "body",
    [
        "let a = 1; let b = a;",
        "let a = next(); let b = next();",
        "let a = it.next(); let b = it.next();",
        "let a = v; let b = v.len();",
        "v.push(1); v.push(2);",
        "let a = f(&mut v); let b = v.len();",
        "x += 1; y = x;",
        'println!("a"); println!("b");',
        "let a = g()?; let b = 1;",
        'let a = 1; let b = format!("{a}");',
        "x = y; y = 1;",
        "let a = vec![next()]; let b = next();",
        "take(v); let n = v.len();",
        "let n = s.v.len(); fill(s.v);",
        "let n = self.v.len(); fill(self);",
        "let a = it.nth(0); let b = it.nth(0);",
        "let a = it.take(2).count(); let b = it.count();",
        "let a = slot.take(); let b = slot.is_none();",
        "let a = vec![x?]; *n += 1;",
        'let a = a + 1; let b = format!(r"{a}");',
        'let w = w + 1; let b = format!("{:>w$}", 1);',
        "let P { x, y } = p; let z = x + 1;",
        "let a = vec![v.pop()]; let n = v.len();",
        'let a = write!(s, "x"); let n = s.len();',
        "let a = v.iter().map(print).count(); let b = w.iter().map(show).count();",
        "a.say(); b.say();",
        "check(&v); let a = v[0];",
        'check(&v); let a = x.expect("one");',
        "let a = rc.clone(); let n = Rc::strong_count(&rc);",
        "let p = &raw mut x; let a = unsafe { *p };",
        "let start = Instant::now(); v.sort();",
    ],
)
def test_statements_that_depend_on_each_other_are_never_exchanged(body):
    assert all(reorder(f"fn f() {{ {body} }}", random.Random(seed)) is None for seed in range(5))


@pytest.mark.parametrize(
    "code",
    [
        "impl P { fn parse(&mut self) -> u8 { 1 } fn f(p: P) { let a = p.parse(); let b = p.parse(); } }",
        "impl Drop for D { fn drop(&mut self) {} fn f() { let a = D { n: 1 }; let b = D { n: 2 }; } }",
        "impl S { fn f() { let x = 1; #[cfg(unix)] let x = 2; let y = 3; } }",
    ],
)
def test_methods_of_the_code_drops_and_attributes_keep_statements_where_they_are(code):
    body = code[code.index("let") : code.rindex(";")]
    assert all(body in (reorder(code, random.Random(seed)) or code) for seed in range(20))


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("fn f() { let a = x.len(); let b = 2; }", "fn f() { let b = 2; let a = x.len(); }"),
        ("fn f() { v.push(1); w.push(2); }", "fn f() { w.push(2); v.push(1); }"),
        ("/// A.\nfn a() {}\n\n#[test]\nfn b() {}", "#[test]\nfn b() {}\n\n/// A.\nfn a() {}"),
        ("use a::b;\nuse c::d;", "use c::d;\nuse a::b;"),
        ("impl S {\n    fn a() {}\n    fn b() {}\n}", "impl S {\n    fn b() {}\n    fn a() {}\n}"),
        ("//! Inner.\nfn a() {}\nfn b() {}", "//! Inner.\nfn b() {}\nfn a() {}"),
        ("macro_rules! m { () => {} }\nfn a() {}\nfn b() {}", None),
        ("#[cfg(unix)] fn b() {} #[cfg(windows)] fn c() {}", "#[cfg(windows)] fn c() {} #[cfg(unix)] fn b() {}"),
    ],
)
def test_independent_neighbours_are_exchanged_with_what_belongs_to_them(code, expected):
    assert reorder(code, random.Random(0)) == expected


FORMS = {
    "for_to_iterator": "pub fn f(v: &[i32]) -> i32 { let mut t = 0; for x in v { t += x; } t }",
    "loop_to_chain": (
        "pub fn f(v: &[i32]) -> Vec<i32> { let mut w = vec![]; for x in v { if *x > 1 { w.push(x * 2); } } w }"
    ),
    "chain_to_loop": "pub fn f(v: &[i32]) -> i32 { v.iter().map(|x| x * 3).sum() }",
    "iterator_to_for": "pub fn f(v: &[i32]) -> i32 { let mut t = 0; v.iter().for_each(|x| t += x); t }",
    "match_to_if_let": "pub fn f(v: &[i32]) -> i32 { match v.first() { Some(x) => *x, None => -1 } }",
    "if_let_to_match": "pub fn f(v: &[i32]) -> i32 { if let [a, b] = v { a - b } else { 7 } }",
    "return_to_else": "pub fn f(v: &[i32]) -> i32 { if v.is_empty() { return 5; } let n = v[0]; n + 1 }",
    "else_to_return": "pub fn f(v: &[i32]) -> i32 { if v.len() > 2 { 1 } else if v.is_empty() { 2 } else { 3 } }",
}
ENDINGS = {
    "any": ("bool", "v.iter().any(|&x| x > 2)"),
    "all": ("bool", "for x in v { if *x > 2 { return false; } } true"),
    "every": ("bool", "v.iter().all(|x| *x < 3)"),
    "count": ("usize", "v.iter().filter(|x| **x > 1).count()"),
    "collect": ("Vec<i32>", "v.iter().map(|x| x + 1).collect()"),
    "fold": ("i32", "v.iter().fold(1, |t, x| t * 2 + x)"),
}


def test_every_form_gives_what_the_original_gives(monkeypatch):
    monkeypatch.setenv("HF_ALLOW_CODE_EVAL", "1")
    originals = list(FORMS.values())
    originals += [f"pub fn f(v: &[i32]) -> {kind} {{ {body} }}" for kind, body in ENDINGS.values()]
    found = [(code, rewrite) for code in originals for rewrite in find_rewrites(code)]
    assert {rewrite.form for _, rewrite in found} == set(FORMS)
    codes, tests = [], []
    for code, rewrite in found:
        # Both in one crate, put to the same arguments.
        other = apply_edits(code, [(rewrite.start, rewrite.end, rewrite.new)])
        codes.append(f"mod a {{ {code} }}\nmod b {{ {other} }}")
        lists = "[&[][..], &[1], &[3, 1], &[2, 2, 5], &[0, -1, 4, 9]]"
        tests.append(f'#[test] fn same() {{ for v in {lists} {{ assert_eq!(a::f(v), b::f(v), "{{:?}}", v); }} }}')
    with RustVerifier() as verifier:
        for (code, rewrite), verdict in zip(found, verifier.verify(codes, tests), strict=True):
            assert verdict.ok, f"{code}\n{rewrite}\n{verdict.diagnostics}"


@pytest.mark.parametrize(
    "body",
    [
        "for x in v { if *x > 1 { return 1; } } 0",
        "for x in v { if *x > 1 { break; } t += x; } t",
        "'a: for x in v { for y in v { continue 'a; } } 0",
        "for x in v { g(x)?; } 0",
        "match n { 1 => 2, 3 => 4, _ => 5 }",
        "match n { x if x > 1 => 2, _ => 5 }",
        "let y = if let x = n { x } else { 1 }; y",
        'if v.is_empty() { return 1; } let t = "a\n    b"; t.len() as i32',
    ],
)
def test_what_leaves_a_loop_or_needs_a_match_keeps_its_form(body):
    assert list(find_rewrites(f"fn f(v: &[i32], n: i32) -> i32 {{ {body} }}")) == []


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ("iterator_to_for", "fn f(v: &[i32]) -> i32 { let mut t = 0; v.iter().for_each(move |x| t += x); t }"),
        ("iterator_to_for", "impl S { fn for_each(&self, g: G) {} } fn f(s: &S) { s.for_each(|x| g(x)); }"),
        ("for_to_iterator", "fn f(v: &[i32]) { for x in v { stop!(x); g(x); } }"),
        ("for_to_iterator", "fn f(v: Box<[i32]>) { for x in v { g(size_of_val(&x)); } }"),
        ("chain_to_loop", "fn f(v: &[i32]) -> bool { v.iter().any(|x| { skip!(x); *x > 1 }) }"),
        ("chain_to_loop", "fn f(n: i32) -> i32 { (0..n).map(|x| x + 1).fold(1, |n, x| n * x) }"),
        ("chain_to_loop", "fn f() -> i32 { a().iter().fold(b(), |t, x| t + x) }"),
        ("chain_to_loop", "fn f(v: &[f64]) -> f64 { v.iter().map(|x| x * 2.0).sum() }"),
        ("loop_to_chain", "fn f(r: &mut Vec<i32>, v: &mut Vec<Vec<i32>>) { for r in v { r.push(0); } }"),
        ("loop_to_chain", "fn f(v: &[i32]) { let mut h = BinaryHeap::new(); for x in v { h.push(x); } g(h); }"),
        ("match_to_if_let", "fn f(x: Option<i32>) -> i32 { match x { #[cfg(unix)] Some(1) => 1, _ => 0 } }"),
        ("return_to_else", "fn f(c: bool) { #[cfg(unix)] if c { return; } g(); }"),
        ("return_to_else", "fn f(c: i32) -> i32 { if c == N { return 0; } const N: i32 = 2; N }"),
        ("else_to_return", "fn f(c: i32) -> i32 { if c == N { N } else { const N: i32 = 2; N } }"),
        (
            "return_to_else",
            "fn f(c: &RefCell<V>) -> i32 { if let Some(x) = c.borrow().get(0) { return *x; } g(c.borrow_mut()) }",
        ),
        (
            "return_to_else",
            "impl Drop for D { fn drop(&mut self) {} } fn f() -> i32 { let a = D(1); if g() { return 1; } D(2).v() }",
        ),
    ],
)
def test_what_another_form_would_change_keeps_its_form(form, code):
    assert form not in {rewrite.form for rewrite in find_rewrites(code)}


def test_types_are_added_and_removed_as_the_compiler_infers_them():
    code = (
        "pub fn f(v: &[u8]) -> Vec<u64> {\n    let n = v.len();\n    let mut w = Vec::new();\n    let one: i64 = 1;\n"
        "    let first: u64 = 7;\n    let text: String = v.iter().map(|b| *b as char).collect();\n"
        "    w.push(n as u64 + first + text.len() as u64 + one as u64);\n    w\n}\n"
    )
    probe = probe_types(code)
    with RustVerifier() as verifier:
        (verdict,) = verifier.verify([probe.code])
        lines = set()
        for seed in range(30):
            variant = vary_types(code, probe, verdict, random.Random(seed))
            assert verifier.verify([variant])[0].ok
            lines |= set(variant.splitlines()) - set(code.splitlines())
    # An i64 that would become an i32 keeps its type, and so does what `collect` is told to make.
    assert lines == {"    let n: usize = v.len();", "    let mut w: Vec<u64> = Vec::new();", "    let first = 7;"}


def annotated(code, verifier, seeds=12):
    """The lines that some variant has in place of the code's own; every variant compiles."""
    probe = probe_types(code)
    answer, original = verifier.verify([probe.code, code])
    assert original.ok, original.diagnostics
    variants = {vary_types(code, probe, answer, random.Random(seed)) for seed in range(seeds)} - {None}
    for variant, verdict in zip(variants, verifier.verify(list(variants)), strict=True):
        assert verdict.ok, f"{variant}\n{verdict.diagnostics}"
    return {line.strip() for each in variants for line in set(each.splitlines()) - set(code.splitlines())}


SCOPES = {
    "a type without its use": (
        "pub fn f() -> usize {\n    let m = std::collections::HashSet::<u8>::new();\n    let n = m.len();\n    n\n}\n",
        {"let n: usize = m.len();"},
    ),
    "a type under another name": (
        "use std::num::Wrapping as W;\npub fn f() -> u8 {\n    let w = W(1u8);\n    let n = w.0;\n    n\n}\n",
        {"let n: u8 = w.0;"},
    ),
    "a name that means another type": (
        "use std::fmt::Result;\npub fn f(s: &str) -> usize {\n    let r = s.parse::<u8>();\n    let n = s.len();\n"
        "    n + r.is_ok() as usize\n}\npub fn g() -> Result { Ok(()) }\n",
        {"let n: usize = s.len();"},
    ),
    "a type of another module": (
        "mod m { pub struct P(pub u8); }\npub fn f() -> u8 {\n    let p = m::P(1);\n    let n = p.0;\n    n\n}\n",
        {"let n: u8 = p.0;"},
    ),
    "a type of this block": (
        "pub fn f() -> u8 {\n    use std::collections::BTreeSet;\n    let m = BTreeSet::from([1u8]);\n"
        "    m.len() as u8\n}\n",
        {"let m: BTreeSet<u8> = BTreeSet::from([1u8]);"},
    ),
    "the value of a closure's block": (
        "pub fn f(v: &[i64]) -> i64 {\n    let m = v.iter().map(|x| {\n        let y = *x;\n        y * 2\n"
        "    }).max();\n    m.unwrap_or(0)\n}\n",
        {"let m: Option<i64> = v.iter().map(|x| {", "let y: i64 = *x;"},
    ),
    "the value of a match": (
        "pub fn f(v: &[i64]) -> i64 {\n    let n = v.len();\n    match n {\n"
        "        0 => 1,\n        _ => v[0],\n    }\n}\n",
        {"let n: usize = v.len();"},
    ),
    "a hidden type": (
        "pub fn f(n: u8) -> impl Iterator<Item = u8> {\n    let m = n + 1;\n    let it = (0..m)"
        ".filter(|x| x % 2 == 0);\n    it\n}\n",
        {"let m: u8 = n + 1;"},
    ),
    # Without `: u64` the element is taken for a `()`, and the list for one of these.
    "a type on which others rest": (
        "pub fn f(v: &[u8]) -> usize {\n    let mut w = Vec::new();\n"
        "    for x in v {\n        let t: u64 = g(*x);\n        w.push(t);\n    }\n    w.len()\n}\n"
        "pub fn g<T: From<u8>>(x: u8) -> T {\n    let n = x + 1;\n    n.into()\n}\n",
        {"let n: u8 = x + 1;"},
    ),
}


def test_a_type_is_written_only_where_its_names_mean_it():
    with RustVerifier() as verifier:
        assert {name: annotated(code, verifier) for name, (code, _) in SCOPES.items()} == {
            name: lines for name, (_, lines) in SCOPES.items()
        }
