"""Fetching crates: with the real tools, on a registry of this machine."""

import os
import shutil
import stat
import subprocess

import pytest

from tests.helpers.crate_files import MANIFEST, write_crate
from trainers.data.__main__ import main
from trainers.data.sources import CrateSource
from trainers.data.sources.fetch import Package, fetch_apt, plan_apt

needs_cargo = pytest.mark.skipif(shutil.which("cargo") is None, reason="cargo is not installed")
needs_dpkg = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is not installed")


@needs_cargo
def test_cargo_vendors_crates_with_their_dependencies_once(tmp_path, monkeypatch, capsys):
    for name, more in (("outer", '[dependencies]\ninner = "1"\n'), ("inner", "")):
        write_crate(tmp_path / "registry" / name, name, MANIFEST + more)
        (tmp_path / "registry" / name / ".cargo-checksum.json").write_text('{"files":{},"package":"' + "0" * 64 + '"}')
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "config.toml").write_text(
        f'[source.crates-io]\nreplace-with = "here"\n[source.here]\ndirectory = "{tmp_path / "registry"}"\n'
    )
    monkeypatch.setenv("CARGO_HOME", str(tmp_path / "home"))
    command = ["fetch", "--crates", "outer", "--with", "cargo", "--output-dir", str(tmp_path / "out")]
    assert main([*command, "--dry-run"]) == 0 and not (tmp_path / "out").exists()
    assert "2 packages, 0 of them there; 2 to download" in capsys.readouterr().out
    assert main(command) == 0
    assert sorted(os.listdir(tmp_path / "out")) == ["inner-1.2.0", "outer-1.2.0"]
    assert len(list(CrateSource(tmp_path / "out").read())) == 2
    before = (tmp_path / "out" / "inner-1.2.0").stat().st_ino
    assert main(command) == 0 and (tmp_path / "out" / "inner-1.2.0").stat().st_ino == before
    assert main(["fetch", "--crates", "missing", "--with", "cargo", "--output-dir", str(tmp_path / "new")]) == 2
    assert "no matching package named `missing`" in capsys.readouterr().err


@needs_dpkg
def test_an_interrupted_download_leaves_no_half_package_and_continues(tmp_path, monkeypatch):
    content = tmp_path / "content"
    write_crate(content / "usr/share/cargo/registry/demo-1.2.0")
    (content / "DEBIAN").mkdir()
    control = "Package: librust-demo-dev\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b.c>\nDescription: d\n"
    (content / "DEBIAN" / "control").write_text(control)
    (tmp_path / "bin").mkdir()
    archive = tmp_path / "bin" / "demo_1.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-b", str(content), str(archive)], check=True, capture_output=True
    )
    # apt-get itself needs the net: a download is a copy here, and fails for another package.
    apt = tmp_path / "bin" / "apt-get"
    apt.write_text(
        f'#!/bin/sh\n[ "$2" = librust-demo-dev ] && cp {archive} . || {{ echo "E: no net" >&2; exit 100; }}\n'
    )
    apt.chmod(apt.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    out = tmp_path / "out"
    good = Package("librust-demo-dev", "demo_1.deb", 1, is_there=False)
    bad = Package("librust-bad-dev", "bad_1.deb", 1, is_there=False)
    with pytest.raises(ValueError, match="apt-get download failed: E: no net"):
        fetch_apt([good, bad], out)
    assert sorted(os.listdir(out)) == [".fetched", "usr"] and os.listdir(out / ".fetched") == ["demo_1.deb"]
    assert [row.path for row in CrateSource(out).read()] == ["demo-1.2.0/src/lib.rs"]
    archive.unlink()
    fetch_apt([Package("librust-demo-dev", "demo_1.deb", 1, is_there=True)], out)


@pytest.mark.parametrize("names", [["../serde"], ["-oDir=/"], ["a b"], []])
def test_names_that_are_no_crates_reach_no_tool(tmp_path, names):
    with pytest.raises(ValueError, match="crates must be names of crates such as serde, got"):
        plan_apt(names, tmp_path)
