"""Every crate of a folder gets the verdict that it would get alone, with its reason, once."""

import pytest

from evaluation.rust.crates.crate_verdict import CrateVerdict
from evaluation.rust.crates.crate_verifier import CrateVerifier
from evaluation.rust.crates.vendor import VendoredCrates
from evaluation.rust.sandbox.runner import CodeExecutionNotAllowed
from tests.helpers.crates import write_crate

OPTIONAL = """[dependencies]
gone = { version = "1", optional = true }
[features]
default = ["extra", "gone"]
extra = []
"""
DEPENDS = '[dependencies]\n{} = "1"\n'


def write_folder(folder):
    """Crates without build scripts, which share one attempt, most of them with something wrong."""
    write_crate(
        folder,
        "good",
        "#[cfg(windows)] mod windows;\nmod b;\n#[cfg(test)] mod tests;\n"
        '#[path = "odd name.rs"] mod odd;\nconst _: &str = include_str!("../README.md");',
        files={
            "src/b.rs": "",
            "src/windows.rs": "does not compile",
            "src/tests.rs": "does not compile",
            "src/odd name.rs": "",
            "src/unused.rs": "does not compile",
            "README.md": "Text.",
        },
    )
    write_crate(
        folder, "features", '#[cfg(feature = "extra")] mod extra;', manifest=OPTIONAL, files={"src/extra.rs": ""}
    )
    modes = "[features]\ndefault = ['a']\na = []\nb = []\nc = []\n"
    write_crate(folder, "wide", '#[cfg(feature = "c")] mod c;', manifest=modes, files={"src/c.rs": ""})
    either = '#[cfg(all(feature = "a", feature = "b"))] compile_error!("either a or b");'
    write_crate(folder, "either", either, manifest=modes)
    write_crate(folder, "types", 'pub fn f() -> u8 { "" }')
    write_crate(folder, "syntax", "pub fn f( {")
    write_crate(folder, "names", "use missing::Thing;")
    write_crate(folder, "own-lint", "#![deny(warnings)] fn unused() {}")
    write_crate(folder, "bad-lint", "pub fn f() -> u8 { 256 }")
    write_crate(folder, "needs-types", manifest=DEPENDS.format("types"))
    write_crate(folder, "needs-good", "pub use good as it;", manifest=DEPENDS.format("good"))
    write_crate(folder, "needs-gone", manifest=DEPENDS.format("gone"))
    write_crate(folder.with_name("elsewhere"), "moved", "pub fn f() {}")
    (folder / "moved").symlink_to(folder.with_name("elsewhere") / "moved-1.0.0")
    write_crate(folder, "program", None, files={"src/main.rs": "fn main() {}"})
    write_crate(folder, "outside", 'pub const S: &str = include_str!("/etc/passwd");')
    linked = write_crate(folder, "linked")
    (linked / "src/secret.rs").symlink_to("/etc/passwd")


@pytest.fixture(scope="module")
def consent():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_ALLOW_CODE_EVAL", "1")
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("folder") / "crates"
    write_folder(folder)
    return folder


@pytest.fixture(scope="module")
def verdicts(folder, tmp_path_factory, consent):
    vendored = VendoredCrates(folder)
    with CrateVerifier(vendored, cache_dir=tmp_path_factory.mktemp("cache")) as verifier:
        before = {each.crate.rpartition("-")[0]: each for each in verifier.verify(vendored)}
        again = verifier.verify(vendored)
    cached = {each.crate for each in again if each.cached}
    assert cached >= {each.crate for each in before.values() if each.status in ("valid", "semantic_error")}
    return before


@pytest.mark.parametrize(
    "name, status, said",
    [
        ("good", "valid", ""),
        ("features", "valid", ""),
        ("own-lint", "valid", ""),
        ("needs-good", "valid", ""),
        ("moved", "valid", ""),
        ("types", "semantic_error", "E0308"),
        ("syntax", "invalid_syntax", "NOCODE"),
        ("names", "compilation_failed", "E0432"),
        ("bad-lint", "compilation_failed", "overflowing_literals"),
        ("outside", "compilation_failed", "NOCODE"),
        ("needs-types", "dependency_failed", "types-1.0.0 does not compile"),
        ("needs-gone", "unresolved", "needs gone 1, which is not there"),
        ("program", "refused", "no library"),
        ("linked", "refused", "src/secret.rs is a symbolic link that leads out of the crate, to /etc/passwd"),
    ],
)
def test_a_crate_gets_its_own_verdict_and_reason(verdicts, name, status, said):
    verdict = verdicts[name]
    if name == "outside" and verdict.sandbox_level == 0:
        pytest.skip("level 0 does not protect files")
    assert verdict.status == status, verdict
    assert said in [verdict.reason, *verdict.error_codes] or said in verdict.reason
    assert not verdict.cached and verdict.rustc and verdict.ok is (status == "valid")


def test_only_files_that_the_compiler_read_count_as_verified(verdicts):
    """No module of another platform, no tests, no text, and no file that no module names."""
    assert verdicts["good"].files == ("src/b.rs", "src/lib.rs", "src/odd name.rs")
    assert verdicts["types"].files == ()


def test_the_features_that_can_be_satisfied_are_compiled_and_named(verdicts):
    assert verdicts["wide"].features == ("a", "b", "c", "default")
    assert verdicts["wide"].files == ("src/c.rs", "src/lib.rs")
    assert verdicts["either"].ok and verdicts["either"].features == ("a", "default")
    assert verdicts["features"].features == ("extra",)
    assert verdicts["features"].files == ("src/extra.rs", "src/lib.rs")


def test_messages_name_the_file_in_the_crate_and_no_temporary_folder(verdicts):
    diagnostic = verdicts["types"].diagnostics[0]
    assert "types-1.0.0/src/lib.rs:1:" in diagnostic.rendered and diagnostic.line == 1
    assert not [each for each in verdicts.values() if "rust-crates-" in str(each.to_dict())]


def test_a_verdict_survives_json(verdicts):
    assert [CrateVerdict.from_dict(each.to_dict()) for each in verdicts.values()] == list(verdicts.values())


def test_nothing_starts_without_consent(folder, monkeypatch):
    monkeypatch.delenv("HF_ALLOW_CODE_EVAL", raising=False)
    with pytest.raises(CodeExecutionNotAllowed, match="build scripts and proc macros"):
        CrateVerifier(VendoredCrates(folder))


def test_a_changed_dependency_is_checked_again(tmp_path, consent):
    write_crate(tmp_path / "crates", "base", "pub struct Thing;")
    write_crate(tmp_path / "crates", "user", "pub use base::Thing;", manifest=DEPENDS.format("base"))

    def status():
        vendored = VendoredCrates(tmp_path / "crates")
        with CrateVerifier(vendored, tmp_path / "cache") as verifier:
            (verdict,) = verifier.verify([vendored.packages["user-1.0.0"]])
        return verdict.status, verdict.cached

    seen = [status(), status()]
    (tmp_path / "crates/base-1.0.0/src/lib.rs").write_text("pub struct Other;")
    assert [*seen, status()] == [("valid", False), ("valid", True), ("compilation_failed", False)]


def test_a_crate_of_another_folder_is_refused(folder, tmp_path, consent):
    stranger = VendoredCrates(write_crate(tmp_path, "good").parent).packages["good-1.0.0"]
    with CrateVerifier(VendoredCrates(folder)) as verifier, pytest.raises(ValueError, match="got good-1.0.0"):
        verifier.verify([stranger])


@pytest.mark.parametrize("options", [{"workers": 0}, {"timeout": 0}, {"timeout": float("inf")}])
def test_options_outside_their_range_are_refused(folder, consent, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        CrateVerifier(VendoredCrates(folder), **options)
