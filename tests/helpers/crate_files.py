"""Small crates for tests."""

MANIFEST = '[package]\nname = "{name}"\nversion = "1.2.0"\nedition = "2021"\nlicense = "MIT/Apache-2.0"\n'
LIBRARY = """pub fn f() {}
#[cfg(test)]
mod tests {
    #[test]
    fn works() {}
    #[tokio::test]
    async fn too() {}
}
"""


def write_crate(folder, name="demo", manifest=MANIFEST, files=None):
    """Write a crate into a new folder; `files` are texts by path."""
    folder.mkdir(parents=True)
    (folder / "Cargo.toml").write_text(manifest.format(name=name))
    for path, text in (files or {"src/lib.rs": LIBRARY}).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
