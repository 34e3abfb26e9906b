"""A folder of crates is read as cargo reads it, and the features that are chosen can be resolved."""

import os

import pytest

from evaluation.rust.crates.manifest import read_manifest
from evaluation.rust.crates.target_conditions import holds
from evaluation.rust.crates.vendor import CHECKSUM_FILE, VendoredCrates
from tests.helpers.crates import write_crate

LINUX = frozenset(["unix", 'target_os="linux"', 'target_pointer_width="64"', "x86_64-unknown-linux-gnu"])


def crates_of(tmp_path, **manifests):
    for name, manifest in manifests.items():
        write_crate(tmp_path, name, manifest=manifest)
    return VendoredCrates(tmp_path)


def chosen(tmp_path, manifest, **others):
    vendored = crates_of(tmp_path, main=manifest, **others)
    package = vendored.packages["main-1.0.0"]
    features = vendored.choose_features(package)
    return features, vendored.problem(package, features)


def test_a_manifest_gives_what_a_build_depends_on(tmp_path):
    text = """links = "z"
    [dependencies]
    a = "1.2"
    renamed = { package = "b", version = "=0.3.1", optional = true, default-features = false, features = ["x"] }
    [target.'cfg(windows)'.build-dependencies.c]
    version = "*"
    [dev-dependencies]
    d = "1"
    """
    package = read_manifest(write_crate(tmp_path, "main", build="fn main() {}", manifest=text))
    seen = [(each.key, each.package, each.kind, each.target, each.optional) for each in package.dependencies]
    assert seen == [
        ("a", "a", "normal", None, False),
        ("renamed", "b", "normal", None, True),
        ("d", "d", "dev", None, False),
        ("c", "c", "build", "cfg(windows)", False),
    ]
    assert package.has_build_script and package.has_library and package.links == "z" and package.license == "MIT"
    assert [each.key for each in package.needed()] == ["a", "renamed", "c"]


def test_the_default_features_are_chosen_if_all_can_be_satisfied(tmp_path):
    text = '[dependencies]\na = { version = "1", optional = true }\n[features]\ndefault = ["a"]\nother = []\n'
    assert chosen(tmp_path, text, a="") == (("default",), None)


def test_a_feature_whose_optional_dependency_is_missing_is_left_out_and_the_others_stay(tmp_path):
    text = """[dependencies]
    gone = { version = "1", optional = true }
    here = { version = "1", optional = true }
    [features]
    default = ["std", "gone", "both"]
    both = ["here", "gone"]
    std = []
    """
    assert chosen(tmp_path, text, here="") == (("std", "here"), None)


@pytest.mark.parametrize("member", ["dep:gone", "gone/std", "here/none", "here/needs-gone"])
def test_what_a_feature_needs_may_be_missing_in_every_way_that_cargo_knows(tmp_path, member):
    text = f"""[dependencies]
    gone = {{ version = "1", optional = true }}
    here = "1"
    [features]
    default = ["bad", "good"]
    bad = ["{member}"]
    good = []
    """
    here = '[dependencies]\nlost = { version = "1", optional = true }\n[features]\nneeds-gone = ["lost"]\n'
    assert chosen(tmp_path, text, here=here) == (("good",), None)


def test_the_widest_features_add_what_can_be_satisfied_and_is_not_for_nightly_compilers(tmp_path):
    text = """[dependencies]
    gone = { version = "1", optional = true }
    here = { version = "1", optional = true }
    [features]
    default = ["std"]
    std = []
    more = ["std"]
    lost = ["gone"]
    nightly = []
    """
    vendored = crates_of(tmp_path, main=text, here="")
    assert vendored.widest_features(vendored.packages["main-1.0.0"]) == ("default", "here", "more")


def test_a_weak_dependency_feature_does_not_need_the_dependency(tmp_path):
    text = '[dependencies]\ngone = { version = "1", optional = true }\n[features]\ndefault = ["gone?/std"]\n'
    assert chosen(tmp_path, text) == (("default",), None)


def test_an_older_version_that_can_be_satisfied_is_good_enough(tmp_path):
    write_crate(tmp_path, "a", version="1.5.0", manifest='[dependencies]\nlost = "1"\n')
    write_crate(tmp_path, "a", version="1.4.0")
    assert chosen(tmp_path, '[dependencies]\na = "1"\n')[1] is None


@pytest.mark.parametrize("version", ["2", "=1.0.1", ">1.0.0"])
def test_a_dependency_that_is_not_there_is_named_with_its_requirement(tmp_path, version):
    text = f"[target.'cfg(windows)'.dependencies]\na = \"{version}\"\n"
    features, problem = chosen(tmp_path, text, a="")
    assert (features, problem) == ((), f"main-1.0.0 needs a {version}, which is not there")


def test_the_closure_has_optional_dependencies_and_none_for_development(tmp_path):
    vendored = crates_of(
        tmp_path,
        main='[dependencies]\na = { version = "1", optional = true }\n[dev-dependencies]\nd = "1"\n',
        a='[build-dependencies]\nb = "1"\n',
        b="",
        d="",
    )
    assert [each.id for each in vendored.closure(vendored.packages["main-1.0.0"])] == ["a-1.0.0", "b-1.0.0"]


def test_every_byte_name_bit_and_link_of_a_crate_is_in_its_hash(tmp_path):
    crate = write_crate(tmp_path, "a", files={"src/b.rs": "", "t.sh": ""})

    def digest():
        vendored = VendoredCrates(tmp_path)
        return vendored.content_hash(vendored.packages["a-1.0.0"])

    hashes = [digest(), digest()]
    assert len(set(hashes)) == 1
    for change in (
        lambda: (crate / "src/b.rs").write_text("x"),
        lambda: (crate / "src/b.rs").rename(crate / "src/c.rs"),
        lambda: (crate / "t.sh").chmod(0o755),
        lambda: (crate / "link").symlink_to("t.sh"),
    ):
        change()
        hashes.append(digest())
    assert len(set(hashes)) == 5


def test_links_out_of_a_crate_and_special_files_are_named_and_not_opened(tmp_path):
    first, second = write_crate(tmp_path / "crates", "a"), write_crate(tmp_path / "crates", "b")
    (first / "src/secret.rs").symlink_to(tmp_path)
    os.mkfifo(second / "pipe")
    vendored = VendoredCrates(tmp_path / "crates")
    assert "src/secret.rs is a symbolic link" in str(vendored.foreign_entry(vendored.packages["a-1.0.0"]))
    assert "pipe is neither" in str(vendored.foreign_entry(vendored.packages["b-1.0.0"]))


def test_a_staged_folder_has_what_cargo_needs_and_the_users_folder_stays_as_it_is(tmp_path):
    crate = write_crate(tmp_path / "crates", "a")
    (tmp_path / "staged").mkdir()
    VendoredCrates(tmp_path / "crates").stage(tmp_path / "staged")
    staged = tmp_path / "staged/a-1.0.0"
    assert sorted(path.name for path in staged.iterdir()) == [CHECKSUM_FILE, "Cargo.toml", "src"]
    assert sorted(path.name for path in crate.iterdir()) == ["Cargo.toml", "src"]


@pytest.mark.parametrize(
    "text, said",
    [
        ("[package", "must be TOML"),
        ("[workspace]", "'package' is missing"),
        ('[package]\nname = "a"\nversion = "1"', "MAJOR.MINOR.PATCH"),
        ('[package]\nname = "a"\nversion.workspace = true', "package.version must be a text"),
        ('[package]\nname = "../a"\nversion = "1.0.0"', "package.name must be"),
        ('[package]\nname = "a"\nversion = "1.0.0"\nedition = "2077"', "package.edition must be"),
        ('[package]\nname = "a"\nversion = "1.0.0"\n[lib]\nname = "a;id"', "lib.name must be"),
        ('[package]\nname = "a"\nversion = "1.0.0"\n[dependencies]\nb = "latest"', "version requirement must be"),
        ('[package]\nname = "a"\nversion = "1.0.0"\n[dependencies]\nb = 1', "must be the manifest"),
    ],
)
def test_a_bad_manifest_is_an_error_with_its_path(tmp_path, text, said):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/Cargo.toml").write_text(text)
    with pytest.raises(ValueError, match=said) as error:
        VendoredCrates(tmp_path)
    assert str(tmp_path / "a/Cargo.toml") in str(error.value)


def test_folders_that_hold_no_crates_are_refused(tmp_path):
    with pytest.raises(ValueError, match="must exist"):
        VendoredCrates(tmp_path / "none")
    with pytest.raises(ValueError, match="has none"):
        VendoredCrates(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"must have a Cargo\.toml"):
        VendoredCrates(tmp_path)


def test_the_same_version_twice_is_refused(tmp_path):
    write_crate(tmp_path, "a").rename(tmp_path / "copy")
    write_crate(tmp_path, "a")
    with pytest.raises(ValueError, match=r"a-1\.0\.0 is in .*a-1\.0\.0 and in .*copy"):
        VendoredCrates(tmp_path)


@pytest.mark.parametrize(
    "target, expected",
    [
        (None, True),
        ("x86_64-unknown-linux-gnu", True),
        ("i686-pc-windows-gnu", False),
        ("cfg(unix)", True),
        ("cfg(windows)", False),
        ('cfg(not(target_os = "macos"))', True),
        ('cfg(any(windows, all(unix, target_pointer_width = "64")))', True),
        ('cfg(all(unix, not(any(target_os="linux", target_os="android",))))', False),
        ("cfg(all())", True),
        ("cfg(any())", False),
        ("cfg(unix", None),
        ("cfg(unix) more", None),
        ("cfg(some(unix))", None),
        ("cfg(a = )", None),
    ],
)
def test_conditions_on_the_platform_are_evaluated_as_by_cargo(target, expected):
    assert holds(target, LINUX) is expected
