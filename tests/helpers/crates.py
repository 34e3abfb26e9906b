"""Small crates in a folder, as `cargo vendor` would leave them, for tests."""

from pathlib import Path


def write_crate(
    folder: Path,
    name: str,
    library: str | None = "",
    build: str | None = None,
    version: str = "1.0.0",
    manifest: str = "",
    proc_macro: bool = False,
    files: dict[str, str] | None = None,
) -> Path:
    """Write a crate to `folder/NAME-VERSION` and return its folder. `manifest` is appended to its Cargo.toml."""
    crate = folder / f"{name}-{version}"
    (crate / "src").mkdir(parents=True)
    kind = "[lib]\nproc-macro = true\n" if proc_macro else ""
    text = f'[package]\nname = "{name}"\nversion = "{version}"\nedition = "2021"\nlicense = "MIT"\n{kind}{manifest}'
    (crate / "Cargo.toml").write_text(text)
    if library is not None:
        (crate / "src/lib.rs").write_text(library)
    if build is not None:
        (crate / "build.rs").write_text(build)
    for path, content in (files or {}).items():
        (crate / path).parent.mkdir(parents=True, exist_ok=True)
        (crate / path).write_text(content)
    return crate
