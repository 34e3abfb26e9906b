"""A crate whose build script, macro or source is hostile gets a verdict, and gets nothing else."""

import time
from pathlib import Path

import pytest

from evaluation.rust.crates.cargo import Cargo, CheckRequest, CrateLimits
from evaluation.rust.crates.crate_batches import Planned, build_of, plan
from evaluation.rust.crates.crate_verifier import CrateVerifier
from evaluation.rust.crates.target_conditions import host_options
from evaluation.rust.crates.vendor import VendoredCrates
from evaluation.rust.rustc.toolchain import find_toolchain
from tests.helpers.crates import write_crate

DEPENDS = '[dependencies]\n{} = "1"\n'
ATTACKS = {
    "sleeps": "std::thread::sleep(std::time::Duration::from_secs(10_000));",
    "spins": "loop { std::hint::black_box(()); }",
    "daemon": """
        std::process::Command::new("/bin/sh").args(["-c", "setsid sleep 9977 > /dev/null 2>&1 &"]).spawn().unwrap();
    """,
    "forks": 'loop { let _ = std::process::Command::new("/bin/sleep").arg("9977").spawn(); }',
    "fills": """
        let mut n = 0;
        loop { n += 1; std::fs::write(format!("{dir}/{n}"), vec![1u8; 1 << 24]).unwrap(); }
    """,
    "large-file": """
        use std::io::Write;
        let mut file = std::fs::File::create(format!("{dir}/f")).unwrap();
        loop { file.write_all(&[1; 1 << 16]).unwrap(); }
    """,
    "prints": 'loop { println!("{}", "x".repeat(1 << 16)); }',
    "memory": "let mut v: Vec<Vec<u8>> = vec![]; loop { v.push(vec![1; 1 << 26]); }",
    "reads": 'panic!("read {:?}", std::fs::read("{secret}").map(|_| ()));',
    "writes": 'std::fs::write("{outside}/written", "x").unwrap();',
    "writes-crates": 'std::fs::write("{crates}/good-1.0.0/src/lib.rs", "pub fn changed() {}").unwrap();',
    "kills": 'std::process::Command::new("/bin/sh").args(["-c", "kill -9 -1"]).status().unwrap();',
    "connects": 'std::net::TcpStream::connect("127.0.0.1:{port}").unwrap();',
}
EXPECTED = {
    "sleeps": {"timeout"},
    "spins": {"timeout"},
    "daemon": {"valid"},  # it is killed with its attempt
    "forks": {"timeout", "build_failed", "resource_limit", "unavailable"},
    "fills": {"resource_limit"},
    "large-file": {"resource_limit"},
    "prints": {"resource_limit"},
    "memory": {"resource_limit", "build_failed"},
    "reads": {"build_failed"},
    "writes": {"build_failed"},
    "writes-crates": {"build_failed"},
    "kills": {"unavailable"},
    "connects": {"build_failed"},
}
SMALL = CrateLimits(
    wall_seconds=8.0, cpu_seconds=4, file_bytes=64 << 20, disk_bytes=256 << 20, memory_gib=2.0, output_bytes=4 << 20
)


def code_of(name, **places):
    code = ATTACKS[name]
    for key, value in places.items():
        code = code.replace(f"{{{key}}}", str(value))
    return f'let dir = std::env::var("OUT_DIR").unwrap_or(std::env::var("HOME").unwrap()); let _ = &dir; {code}'


@pytest.fixture
def consent(monkeypatch):
    monkeypatch.setenv("HF_ALLOW_CODE_EVAL", "1")


def small_verifier(vendored):
    """A verifier with limits that are reached quickly."""
    verifier = CrateVerifier(vendored)
    verifier.limits = verifier.cargo.limits = SMALL
    return verifier


def still_running(marker):
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += [path] if marker in path.read_bytes().split(b"\0") else []
        except OSError:
            continue
    return found


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["build script", "proc macro"])
@pytest.mark.parametrize("name", ATTACKS)
def test_hostile_code_ends_in_a_verdict_and_changes_nothing_outside(tmp_path, consent, name, kind):
    crates, outside = tmp_path / "crates", tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    good = write_crate(crates, "good", "pub fn f() {}")
    code = code_of(name, secret=outside / "secret", outside=outside, crates=crates, port=1)
    if kind == "build script":
        write_crate(crates, name, build=f"#[allow(unreachable_code)] fn main() {{ {code} }}")
    else:
        macro = f"""extern crate proc_macro;
        use proc_macro::TokenStream;
        #[allow(unreachable_code)] #[proc_macro] pub fn attack(_: TokenStream) -> TokenStream {{
            {code} TokenStream::new()
        }}"""
        write_crate(crates, "attacker", macro, proc_macro=True)
        write_crate(crates, name, "attacker::attack!();", manifest=DEPENDS.format("attacker"))
    vendored = VendoredCrates(crates)
    before = (good / "src/lib.rs").read_text()
    started = time.monotonic()
    with small_verifier(vendored) as verifier:
        if verifier.cargo.sandbox.level < 2:
            pytest.skip("only level 2 protects against all of these")
        verdicts = {each.crate: each for each in verifier.verify(vendored)}
    verdict = verdicts[f"{name}-1.0.0"]
    assert time.monotonic() - started < 60
    expected = EXPECTED[name] | ({"compilation_failed"} if kind == "proc macro" else set())
    if kind == "proc macro" and name in ("prints", "sleeps"):
        expected |= {"timeout"}
    assert verdict.status in expected and (verdict.status == "valid" or verdict.reason or verdict.diagnostics), verdict
    assert verdicts["good-1.0.0"].status == "valid"
    assert (good / "src/lib.rs").read_text() == before and not (outside / "written").exists()
    assert not still_running(b"9977")


FORGER = """
fn main() {
    // Every compiled file of every other crate in the target folder, and every result that cargo has noted.
    let out = std::env::var("OUT_DIR").unwrap();
    let debug = std::path::Path::new(&out).ancestors().nth(3).unwrap().to_owned();
    for folder in ["deps", ".fingerprint"] {
        let Ok(entries) = std::fs::read_dir(debug.join(folder)) else { continue };
        for entry in entries.flatten() {
            if entry.file_name().to_string_lossy().contains("victim") {
                let _ = std::fs::write(entry.path(), "forged");
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
    }
    // A package in the place where cargo looks for the others' configuration.
    let home = std::env::var("HOME").unwrap();
    std::fs::write(format!("{home}/.cargo/config.toml"), "[build]\\nrustc = '/bin/true'").unwrap();
}
"""


def write_forger(folder):
    write_crate(folder, "a-forger", build=FORGER)
    write_crate(folder, "user", "pub use a_forger as it;", manifest=DEPENDS.format("a-forger"))
    write_crate(folder, "victim", "pub fn f() {}")
    write_crate(folder, "victim-that-fails", 'pub fn f() -> u8 { "" }')
    write_crate(folder, "victim-with-script", build="fn main() {}")


def test_a_crate_shares_a_folder_only_with_code_that_runs_for_it_anyway(tmp_path):
    write_forger(tmp_path)
    write_crate(tmp_path, "windows-user", manifest="[target.'cfg(windows)'.dependencies]\na-forger = \"1\"\n")
    write_crate(tmp_path, "optional-user", manifest='[dependencies]\na-forger = { version = "1", optional = true }\n')
    vendored = VendoredCrates(tmp_path)
    options = host_options(find_toolchain())
    requests = [CheckRequest(package, vendored.choose_features(package)) for package in vendored]
    batches = plan([Planned(each, build_of(each, vendored, options)) for each in requests], vendored)
    names = [[planned.request.package.name for planned in batch] for batch in batches]
    behind = {name: batch[index + 1 :] for batch in names for index, name in enumerate(batch)}
    assert behind["a-forger"] == ["user"] and behind["victim-with-script"] == []
    assert sorted(behind) == sorted(package.name for package in vendored)


def test_a_dependency_with_several_fitting_versions_is_not_trusted_to_be_the_one(tmp_path):
    write_crate(tmp_path, "script", version="1.0.0", build="fn main() {}")
    write_crate(tmp_path, "script", version="1.1.0", build="fn main() {}")
    write_crate(tmp_path, "user", manifest=DEPENDS.format("script"))
    vendored = VendoredCrates(tmp_path)
    build = build_of(CheckRequest(vendored.packages["user-1.0.0"], ()), vendored, host_options(find_toolchain()))
    assert build.possible == {"user-1.0.0", "script-1.0.0", "script-1.1.0"} and build.certain == {"user-1.0.0"}


def test_a_forger_changes_a_shared_folder_and_therefore_never_gets_one_with_its_victims(tmp_path, consent):
    """In the same attempt the attack works, so the batches are what protects."""
    write_forger(tmp_path)
    vendored = VendoredCrates(tmp_path)
    ids = ["a-forger-1.0.0", "victim-1.0.0"]
    with Cargo(vendored) as cargo:
        attacked = cargo.check([CheckRequest(vendored.packages[name], ()) for name in ids])
    assert [run.completed.status for run in attacked] != [0, 0]
    with CrateVerifier(vendored) as verifier:
        verdicts = {each.crate: each.status for each in verifier.verify(vendored)}
    assert [verdicts[f"victim{kind}-1.0.0"] for kind in ("", "-that-fails", "-with-script")] == [
        "valid",
        "semantic_error",
        "valid",
    ]


@pytest.mark.slow
def test_crates_that_need_one_that_hangs_do_not_wait_for_it_again(tmp_path, consent):
    write_crate(tmp_path, "hangs", build="fn main() { std::thread::sleep(std::time::Duration::from_secs(1000)) }")
    for number in range(10):
        write_crate(tmp_path, f"user{number}", manifest=DEPENDS.format("hangs"))
    write_crate(tmp_path, "other")
    vendored = VendoredCrates(tmp_path)
    started = time.monotonic()
    with small_verifier(vendored) as verifier:
        verdicts = verifier.verify(vendored)
    assert time.monotonic() - started < 40
    statuses = {each.crate: each.status for each in verdicts}
    assert statuses.pop("other-1.0.0") == "valid" and set(statuses.values()) == {"timeout"}
    assert all("hangs-1.0.0" in each.reason for each in verdicts if each.crate.startswith("user"))
