"""Documentation examples are found, completed and classified as rustdoc does it."""

import shutil
import subprocess

import pytest

from tests.helpers.crate_files import write_crate
from trainers.data.sources import COMPILE_FAIL, EXAMPLE, CrateExampleSource
from trainers.data.sources.documentation import IGNORED, NOT_RUST, UNSTABLE
from trainers.data.sources.rustdoc import DocExample, doc_examples, read_example, rustdoc_program

CODE = """//! ```
//! let inner = 1;
//! ```

/// Words.
///
/// ```should_panic,edition2018
/// # fn hidden() {}
/// ## not_hidden
///     indented();
/// #
/// #[derive(Debug)]
/// struct S;
/// ```
#[inline]
/// ```text
/// no Rust
/// ```
pub fn f() { let s = "
/// ```
/// a_string();
/// ```
"; }

/**
 * ~~~
 * block();
 * ~~~
 */
#[doc = "```\\nlet quoted = \\"\\u{61}\\";\\n```"]
struct A;

//// ```
//// comment();
//// ```
macro_rules! m {
    () => {
        #[doc = concat!("Adds ", stringify!($T))]
        /// ```
        #[doc = concat!("add::<", stringify!($T), ">();")]
        /// ```
        ///
        ///     by_indentation();
        fn add() {}
    };
}
"""


def test_examples_of_all_forms_of_doc_comments_are_found():
    found = list(doc_examples(CODE))
    assert [(each.code, each.is_rust, each.is_incomplete) for each in found if each.is_incomplete is False] == [
        ("let inner = 1;\n", True, False),
        ("fn hidden() {}\n# not_hidden\n    indented();\n\n#[derive(Debug)]\nstruct S;\n", True, False),
        ("no Rust\n", False, False),
        ("block();\n", True, False),
        ('let quoted = "a";\n', True, False),
        ("by_indentation();\n", True, False),
    ]
    assert found[1].edition == "2018"
    assert sum(each.is_incomplete for each in found) == 1


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("", {}),
        ("rust", {}),
        ("no_run", {}),
        ("ignore-wasm32,edition2021", {"is_ignored": True, "edition": "2021"}),
        ("compile_fail E0308", {"must_fail": True}),
        ("E0308", {}),
        ("toml", {"is_rust": False}),
        ("toml,should_panic", {"is_rust": False}),
        ("custom,rust", {}),
    ],
)
def test_flags_mean_what_they_mean_to_rustdoc(flags, expected):
    assert read_example("x();\n", flags) == DocExample("x();\n", **expected)


def test_what_rustdoc_would_not_run_is_left_out_and_failing_examples_have_their_own_kind(tmp_path):
    library = """
    /// ```
    /// demo::f();
    /// ```
    /// ```compile_fail,E0308
    /// let x: u8 = "";
    /// ```
    /// ```ignore (slow)
    /// f();
    /// ```
    /// ```sh
    /// cargo run
    /// ```
    /// ```
    /// #![feature(test)]
    /// ```
    pub fn f() {}
    """
    write_crate(tmp_path / "demo", files={"src/lib.rs": library})
    source = CrateExampleSource(tmp_path)
    rows = list(source.read())
    assert [(row.kind, row.code, row.crate, row.edition, row.path) for row in rows] == [
        (EXAMPLE, "demo::f();\n", "demo-1.2.0", "2021", "demo-1.2.0/src/lib.rs#1"),
        (COMPILE_FAIL, 'fn main() {\nlet x: u8 = "";\n\n}\n', "demo-1.2.0", "2021", "demo-1.2.0/src/lib.rs#2"),
    ]
    assert source.left_out == {IGNORED: 1, NOT_RUST: 1, UNSTABLE: 1}


@pytest.mark.skipif(shutil.which("rustc") is None, reason="rustc is not installed")
def test_a_completed_example_may_use_the_question_mark(tmp_path):
    code = '#![allow(unused)]\nlet x: u8 = "1".parse()?;\nOk::<(), std::num::ParseIntError>(())\n'
    (tmp_path / "a.rs").write_text(rustdoc_program(code))
    command = ["rustc", "--edition", "2021", "--emit=metadata", "--out-dir", str(tmp_path), str(tmp_path / "a.rs")]
    assert subprocess.run(command, capture_output=True).returncode == 0
