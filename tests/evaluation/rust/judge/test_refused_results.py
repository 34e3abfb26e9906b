"""Functions that return the same whatever their parameters are: refused where only a signature is demanded."""

import pytest

from evaluation.rust import HiddenTests
from evaluation.rust.judge.refusals import refusals

CONSTANT = [
    "fn f(values: &[i64]) -> Option<i64> { if values.is_empty() { None } else { None } }",
    "fn f(values: &mut Vec<i64>) -> Vec<i64> { if values.is_empty() { return Vec::new(); } Vec::new() }",
    "fn f(values: &mut Vec<i64>) { if values.is_empty() { return; } else { return; } }",
    "fn f(x: u32) -> String { match x { 0 => String::new(), _ => { String :: new() } } }",
    "fn f(x: u32) -> Option<u32> { match x { _ => None, _ => Some(x) } }",
    "fn f(x: u32) -> Option<u32> { match x { 3 => None, other => { None } 4 => Some(x) } }",
    "fn f(x: u32) -> u32 { let y = 3; if x > 4 { y } else { y } }",
    "fn f(x: u32) -> u32 { let y = 3; let z = y + 1; let closure = |a: u32| a + x; if x > 3 { return z; } z }",
    "fn f(x: u32) -> (u32, u32) { for i in 0..x { if i > 3 { return (0, 1); } } (0, 1) }",
    'fn f(x: &str) -> Option<&str> { if let Some(y) = x.get(1..) { println!("{y}"); None } else { None } }',
    "fn f(x: &[u32]) -> Vec<u32> { let mut y = Vec::new(); for z in x { y = y; } y }",
    "fn f(x: &[u32]) -> u32 { let mut y = 3; for z in x { y = 3; } y }",
    "fn f(x: &mut u32) -> u32 { *x = *x; 3 }",
]
HONEST = [
    "fn f(x: &[u32]) -> u32 { let mut y = 3; for z in x { y = 4; } y }",
    "fn f(x: &[u32]) -> u32 { let mut y = 3; for z in x { y = *z; } y }",
    "fn f(x: &[u32]) -> u32 { let mut n = 3; let mut y = n; for z in x { n += 1; y = n; } y }",
    "fn f(x: &mut u32) -> u32 { *x = 4; 3 }",
    "fn f(x: &mut V) -> u32 { *x.grow() = *x.grow(); 3 }",
    "fn f(values: &[i64]) -> Option<i64> { if values.is_empty() { None } else { Some(values[0]) } }",
    "fn f(values: &[i64]) -> Vec<i64> { let mut new = Vec::new(); for value in values { new.push(*value); } new }",
    "fn f(x: char) -> Vec<char> { let mut text = String::new(); text.push(x); let c = text.chars(); c.collect() }",
    "fn f(a: Shape, b: u8) -> f64 { match a { Shape::Circle(size) => size, Shape::Square(size) => size } }",
    "fn f(x: u32) -> u32 { let x = x + 1; x }",
    "fn f(x: u32) -> Option<u32> { match x { _ if x > 3 => None, y if y > 2 => None, true => None, _ => Some(1) } }",
    'fn f(x: u32) -> String { let width = 3; format!("{x:width$}") }',
    "fn f(x: u32) -> impl Fn(u32) -> u32 { move |y| x + y }",
    "fn f(x: &str) -> Result<(), E> { x.parse::<u32>()?; Ok(()) }",
    "fn f(x: &[u32]) -> bool { assert!(x.is_sorted()); true }",
    "fn f(x: &mut Vec<u32>) -> bool { x.push(1); true }",
    "fn f(x: &Cell<u32>) -> bool { x.set(1); true }",
    "fn f(x: &mut [u32]) { for y in x { *y += 1 } }",
    "fn f(x: &mut [u32]) { x.sort() }",
    "fn f(x: &mut [u32]) { let _ = x.iter_mut().map(|y| *y += 1).count(); }",
    'fn f(x: &str) { println!("{x}"); }',
    "fn f(x: u32) -> u32 { loop { if x > 3 { break x; } else { break 4; } } }",
    "fn f() -> Vec<u32> { Vec::new() }",
]


def reasons(code: str, checker: str = "") -> list[str]:
    signature = code[: code.index(" {")] + ";"
    return [refusal.reason for refusal in refusals(code.encode(), HiddenTests(signature, checker))]


@pytest.mark.parametrize("code", CONSTANT)
def test_a_result_that_no_parameter_changes_is_refused(code):
    assert reasons(code) == ["`fn f` returns the same whatever its parameters are"]


@pytest.mark.parametrize("code", HONEST)
def test_a_result_that_may_depend_on_a_parameter_is_not(code):
    assert reasons(code) == []


@pytest.mark.parametrize("code", CONSTANT)
def test_tests_decide_where_there_are_some(code):
    assert reasons(code, "check!(true);") == []


@pytest.mark.parametrize(("change", "refused"), [("", True), ("a0 += x; ", False), ("a4000 += 1; ", False)])
def test_a_chain_of_names_is_followed_to_its_beginning(change, refused):
    names = "".join(f"let mut a{n + 1} = a{n}; " for n in range(4000))
    code = f"fn f(x: u8) -> u8 {{ let mut a0 = 1; {names} {change} if x > 3 {{ return a4000; }} a4000 }}"
    assert bool(reasons(code)) is refused


def test_nesting_of_any_depth_is_read():
    assert len(reasons(f"fn f(x: u8) -> u8 {{ {'if x > 1 {' * 2000} 0 {'} else { 0 }' * 2000} }}")) == 1
