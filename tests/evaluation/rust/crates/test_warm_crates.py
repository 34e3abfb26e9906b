"""What cargo and a crate leave behind is read with care: both may be hostile."""

import io
import tarfile

from evaluation.rust.crates.holes.warm import _call_of_tests, _unpack

PRINTED = """   Compiling shapes v1.0.0 (/attempt/crate)
[shapes 1.0.0]      Running `CARGO=cargo /evil --crate-name shapes --test src/lib.rs`
     Running `CARGO=/bin/cargo CARGO_PKG_DESCRIPTION='Two
     Running `lines` of it' CARGO_PKG_NAME=shapes OUT_DIR=/attempt/target/debug/build/shapes-1/out /bin/rustc \
--crate-name shapes --edition=2021 src/lib.rs --error-format=json --emit=dep-info,link --test \
--check-cfg 'cfg(docsrs)' -C metadata=12 --out-dir /attempt/target/debug/deps -C link-arg=-lm \
-L dependency=/attempt/target/debug/deps --extern 'twice=/attempt/deps/libtwice.rlib' -L native=/usr/lib --cfg built`
warning: unused
     Running `CARGO=/bin/cargo /bin/rustc --crate-name other --test src/lib.rs`
    Finished
"""


def test_the_last_call_of_rustc_for_the_crates_tests_is_read_without_its_outputs():
    call = _call_of_tests(PRINTED, "shapes")
    assert call is not None
    environment, arguments = call
    assert environment["CARGO_PKG_DESCRIPTION"] == "Two\n     Running `lines` of it"
    assert environment["OUT_DIR"] == "/attempt/target/debug/build/shapes-1/out"
    assert " ".join(arguments) == (
        "--crate-name shapes --edition=2021 -C link-arg=-lm -L dependency=/attempt/target/debug/deps "
        "--extern twice=/attempt/deps/libtwice.rlib -L native=/usr/lib --cfg built"
    )


def test_output_without_such_a_call_is_none():
    assert _call_of_tests("     Running `CARGO='/bin/cargo /bin/rustc --crate-name shapes --test", "shapes") is None


def test_an_archive_leaves_only_plain_files_of_two_folders(tmp_path):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        names = [
            "deps/liba.rlib",
            "build/a-1/out/x/generated.rs",
            "deps/../../escaped.rlib",
            "/deps/absolute.rlib",
            "deps/program",
            "command.json",
            "build/a-1/out/../../../../escaped.rs",
        ]
        for name in names:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = 1, 0o4777
            archive.addfile(entry, io.BytesIO(b"x"))
        for kind, name in ((tarfile.SYMTYPE, "deps/libb.rlib"), (tarfile.LNKTYPE, "deps/libc.so")):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, "/etc/passwd"
            archive.addfile(entry)
    inside = tmp_path / "inside"
    _unpack(buffer.getvalue(), inside)
    found = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if not path.is_dir())
    assert found == ["inside/build/a-1/out/x/generated.rs", "inside/deps/liba.rlib"]
    assert not any(path.is_symlink() or path.stat().st_mode & 0o4000 for path in inside.rglob("*"))
