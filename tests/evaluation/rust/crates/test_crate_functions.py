"""Functions of a crate whose bodies can be replaced, found by their paths."""

from evaluation.rust.crates.holes.functions import functions_of, read_crate
from tests.helpers.hole_crates import write_crate

LONG = "let first = 1 + 2 + 3; let second = first * 10; let _ = second; "
FILES = {
    "src/lib.rs": f"""
mod inner;
#[cfg(test)] mod hidden;
#[path = "elsewhere.rs"] mod moved;
mod nested {{
    mod deep;
    pub fn plain() {{ {LONG} }}
}}
pub struct Pair<T>(T);
impl<T> Pair<T> {{
    /// Documentation.
    #[inline]
    pub fn method(&self) {{ {LONG} }}
    pub const fn constant() {{ {LONG} }}
    pub unsafe fn dangerous() {{ {LONG} }}
    fn opaque() -> impl Sized {{ {LONG} }}
    fn short() {{ 1 + 1; }}
}}
impl<T> Clone for Pair<T> {{ fn clone(&self) -> Self {{ {LONG} todo!() }} }}
impl<T> From<T> for Pair<T> {{ fn from(value: T) -> Self {{ {LONG} Pair(value) }} }}
trait Shape {{ fn provided(&self) {{ {LONG} }} fn required(&self); }}
#[cfg(unix)] fn twice() {{ {LONG} }}
#[cfg(windows)] fn twice() {{ {LONG} }}
#[test] fn test() {{ {LONG} }}
async fn later() {{ {LONG} }}
macro_rules! made {{ () => {{ fn by_macro() {{ {LONG} }} }} }}
#[cfg(all(test, unix))] fn helper() {{ {LONG} }}
""",
    "src/inner.rs": f"mod leaf;\npub fn of_a_file() {{ {LONG} }}\n",
    "src/inner/leaf.rs": f"pub fn of_a_leaf() {{ {LONG} }}\n",
    "src/nested/deep/mod.rs": f"pub fn deepest() {{ {LONG} }}\n",
    "src/hidden.rs": f"fn hidden() {{ {LONG} }}\n",
    "src/elsewhere.rs": f"fn elsewhere() {{ {LONG} }}\n",
}


def test_functions_of_modules_impls_and_traits_are_found_without_tests_and_those_of_fixed_form(tmp_path):
    write_crate(tmp_path, FILES)
    found = {function.name: function for function in functions_of(read_crate(tmp_path, "src/lib.rs"))}
    assert sorted(found) == [
        "<Pair<T> as Clone>::clone",
        "<Pair<T> as From<T>>::from",
        "Pair<T>::method",
        "Shape::provided",
        "inner::leaf::of_a_leaf",
        "inner::of_a_file",
        "later",
        "nested::deep::deepest",
        "nested::plain",
    ]
    method = found["Pair<T>::method"]
    assert (method.documentation, method.head) == ("/// Documentation.\n#[inline]", "pub fn method(&self) ")
    assert method.body == f"{{ {LONG} }}"


def test_a_link_out_of_the_crate_is_not_read(tmp_path):
    write_crate(tmp_path, {"crate/src/lib.rs": "mod outside;\n", "secret.rs": f"fn secret() {{ {LONG} }}\n"})
    (tmp_path / "crate/src/outside.rs").symlink_to(tmp_path / "secret.rs")
    assert list(read_crate(tmp_path / "crate", "src/lib.rs")) == ["src/lib.rs"]
