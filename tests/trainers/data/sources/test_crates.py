"""Crates as a source: every layout is read, nothing outside a crate is, and what is left out has a reason."""

import gzip
import io
import os
import tarfile

import pytest

from tests.helpers.crate_files import LIBRARY, MANIFEST, write_crate
from trainers.data.sources import CrateSource, crate_archives
from trainers.data.sources.crate_archives import UNSAFE_MEMBER
from trainers.data.sources.crates import BAD_ARCHIVE, BAD_MANIFEST
from trainers.data.sources.source import EMPTY, LINK_OUTSIDE, LONG_LINE, TOO_LARGE, UNREADABLE

COPYRIGHT = """Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
License: Expat or Apache-2.0

Files: ./src/tables/*
 src/old.rs
License: GPL-2+

License: GPL-2+
 On Debian systems ...
"""


def archive(path, members):
    with tarfile.open(path, "w:gz") as tar:
        for member, content in members:
            info = tarfile.TarInfo(member) if isinstance(member, str) else member
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def link(name, target):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, target
    return info


def test_a_document_knows_its_crate_edition_license_and_tests(tmp_path):
    write_crate(tmp_path / "vendor" / "demo", files={"src/lib.rs": LIBRARY, "tests/a.rs": "#[test]\nfn a() {}\n"})
    rows = list(CrateSource(tmp_path / "vendor").read())
    assert [row.path for row in rows] == ["demo-1.2.0/src/lib.rs", "demo-1.2.0/tests/a.rs"]
    for row in rows:
        assert (row.crate, row.edition, row.license, row.num_tests) == (
            "demo-1.2.0",
            "2021",
            "MIT OR Apache-2.0",
            3,
        )


def test_the_same_crate_is_read_from_a_folder_an_archive_and_itself(tmp_path):
    write_crate(tmp_path / "vendor" / "demo")
    (tmp_path / "archives").mkdir()
    path = tmp_path / "archives" / "demo-1.2.0.crate"
    manifest = MANIFEST.format(name="demo").encode()
    archive(path, [("demo-1.2.0/Cargo.toml", manifest), ("demo-1.2.0/src/lib.rs", LIBRARY.encode())])
    places = (tmp_path / "vendor", tmp_path / "vendor" / "demo", tmp_path / "archives", path)
    first, *others = [list(CrateSource(place).read()) for place in places]
    assert first and all(rows == first for rows in others)


def test_debian_says_the_license_of_crates_without_one_and_of_single_files(tmp_path):
    files = {"src/lib.rs": "fn a() {}", "src/old.rs": "fn b() {}", "src/tables/x/y.rs": "fn c() {}"}
    write_crate(
        tmp_path / "usr/share/cargo/registry/some_demo-0.3.1",
        manifest='[package]\nname = "some_demo"\nversion = "0.3.1"\n',
        files=files,
    )
    documentation = tmp_path / "usr/share/doc/librust-some-demo-0.3-dev"
    documentation.mkdir(parents=True)
    (documentation / "copyright").write_text(COPYRIGHT)
    licenses = {row.path.partition("/")[2]: row.license for row in CrateSource(tmp_path).read()}
    assert licenses == {
        "src/lib.rs": "MIT OR Apache-2.0",
        "src/old.rs": "GPL-2.0-or-later",
        "src/tables/x/y.rs": "GPL-2.0-or-later",
    }


def test_a_workspace_gives_its_members_their_fields_and_no_file_twice(tmp_path):
    (tmp_path / "Cargo.toml").write_text('[workspace.package]\nedition = "2018"\nlicense = "ISC"\n')
    inherited = '[package]\nname = "{name}"\nversion = "0.1.0"\nedition.workspace = true\nlicense.workspace = true\n'
    write_crate(tmp_path / "crates" / "a", "a", inherited)
    write_crate(tmp_path / "crates" / "a" / "macros", "macros", inherited, {"src/lib.rs": "fn m() {}"})
    rows = {row.path: (row.edition, row.license) for row in CrateSource(tmp_path).read()}
    assert rows == {"a-0.1.0/src/lib.rs": ("2018", "ISC"), "macros-0.1.0/src/lib.rs": ("2018", "ISC")}


def test_nothing_outside_a_crate_is_read(tmp_path):
    (tmp_path / "secret.rs").write_text("fn secret() {}")
    write_crate(tmp_path / "vendor" / "demo")
    os.symlink(tmp_path / "secret.rs", tmp_path / "vendor" / "demo" / "src" / "file.rs")
    os.symlink(tmp_path, tmp_path / "vendor" / "demo" / "src" / "folder")
    os.symlink("/", tmp_path / "vendor" / "root")
    os.mkfifo(tmp_path / "vendor" / "demo" / "src" / "pipe.rs")
    source = CrateSource(tmp_path / "vendor")
    assert [row.path for row in source.read()] == ["demo-1.2.0/src/lib.rs"]
    assert source.left_out == {LINK_OUTSIDE: 3, UNREADABLE: 1}


def test_a_hostile_archive_writes_nothing_outside_its_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary" / "inner"))
    (tmp_path / "temporary" / "inner").mkdir(parents=True)
    bad = b"fn bad() {}"
    members = [
        ("demo-1.2.0/Cargo.toml", MANIFEST.format(name="demo").encode()),
        ("demo-1.2.0/src/lib.rs", LIBRARY.encode()),
        ("../../escaped.rs", bad),
        (str(tmp_path / "absolute.rs"), bad),
        (link("demo-1.2.0/src/link.rs", str(tmp_path / "linked.rs")), b""),
        ("demo-1.2.0/src/link.rs/inner.rs", bad),
        ("demo-1.2.0/src/lib.rs/below.rs", bad),
        ("demo-1.2.0/" + "x" * 300 + ".rs", bad),
    ]
    archive(tmp_path / "demo.crate", members)
    source = CrateSource(tmp_path / "demo.crate")
    assert [row.path for row in source.read()] == ["demo-1.2.0/src/lib.rs", "demo-1.2.0/src/link.rs/inner.rs"]
    assert source.left_out == {UNSAFE_MEMBER: 5}
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["demo.crate", "inner", "temporary"]


def test_archives_that_are_broken_or_huge_are_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(crate_archives, "MAX_UNPACKED", 100_000)
    archive(tmp_path / "huge.crate", [("d/Cargo.toml", MANIFEST.encode()), ("d/zero.bin", bytes(200_000))])
    (tmp_path / "text.crate").write_text("no archive")
    (tmp_path / "cut.crate").write_bytes(gzip.compress(os.urandom(9_000))[:5_000])
    source = CrateSource(tmp_path)
    assert list(source.read()) == [] and source.left_out == {BAD_ARCHIVE: 3}
    with pytest.raises(ValueError, match="must hold folders with a Cargo.toml .*3 archives that cannot be read"):
        source.check()


def test_texts_that_are_no_training_data_are_counted_by_their_reason(tmp_path):
    files = {
        "src/lib.rs": LIBRARY,
        "src/empty.rs": "\n",
        "src/table.rs": f'const T: &str = "{"x" * 1_000}";',
        "src/large.rs": "fn f() {}\n" * 20_001,
    }
    write_crate(tmp_path / "demo", files=files)
    (tmp_path / "demo" / "src" / "binary.rs").write_bytes(b"\xff\x00")
    write_crate(tmp_path / "broken", manifest="[package\n{name}")
    source = CrateSource(tmp_path)
    assert len(list(source.read())) == 1
    assert source.left_out == {EMPTY: 1, LONG_LINE: 1, TOO_LARGE: 1, UNREADABLE: 1, BAD_MANIFEST: 1}


def test_a_change_of_a_file_changes_the_identity(tmp_path):
    write_crate(tmp_path / "demo")
    source, seen = CrateSource(tmp_path), set()
    seen.add(source.identity())
    assert source.identity() in seen
    (tmp_path / "demo" / "src" / "lib.rs").write_text(LIBRARY + "\n")
    seen.add(source.identity())
    (tmp_path / "demo" / "src" / "lib.rs").rename(tmp_path / "demo" / "src" / "main.rs")
    assert source.identity() not in seen and len(seen) == 2


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir(), lambda path: path.write_text("")])
def test_a_missing_or_empty_place_is_an_error_at_once(tmp_path, make):
    make(tmp_path / "vendor")
    with pytest.raises(ValueError, match="crates must"):
        CrateSource(tmp_path / "vendor").check()
