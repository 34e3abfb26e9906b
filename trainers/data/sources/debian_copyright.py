"""Debian's machine-readable copyright files (DEP-5, https://www.debian.org/doc/packaging-manuals/copyright-format/)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trainers.data.sources.document import UNKNOWN_LICENSE
from trainers.data.sources.licenses import debian_expression


@dataclass(frozen=True)
class DebianCopyright:
    """
    Licenses of the files of a package.

    Attributes:
        everything: SPDX expression of the stanza for all files, or `UNKNOWN_LICENSE`.
        stanzas: Pattern and SPDX expression of the stanzas for some files, in the order of the file.
    """

    everything: str
    stanzas: tuple[tuple[re.Pattern[str], str], ...]

    def license_of(self, path: str) -> str | None:
        """Return the license of a file that a stanza for some files names, or None; the last stanza decides."""
        return next((license for pattern, license in reversed(self.stanzas) if pattern.fullmatch(path)), None)


def read_debian_copyright(path: Path) -> DebianCopyright | None:
    """Return the licenses in a copyright file, or None if it is not in the machine-readable format."""
    text = path.read_text(encoding="utf-8", errors="replace")
    if not text.lstrip().lower().startswith("format:"):
        return None
    everything, stanzas = UNKNOWN_LICENSE, []
    for fields in _stanzas(text):
        if "files" not in fields or "license" not in fields:
            continue
        # The first line of the field is the name of the license; the others are its text.
        license = debian_expression(fields["license"].splitlines()[0].strip() or UNKNOWN_LICENSE)
        patterns = fields["files"].split()
        if patterns == ["*"]:
            everything = license
        elif patterns:
            stanzas.append((re.compile("|".join(map(_pattern, patterns)), re.DOTALL), license))
    return DebianCopyright(everything, tuple(stanzas))


def find_debian_copyright(crate_folder: Path, name: str, version: str) -> DebianCopyright | None:
    """Return the licenses of a crate in the registry folder of Debian's packages, or None if it is not in one."""
    documentation = crate_folder.parent.parent.parent / "doc"
    package = name.lower().replace("_", "-")
    major, _, rest = version.partition(".")
    # Packages of old versions have the version in their names.
    for suffix in (f"-{major}.{rest.partition('.')[0]}", f"-{major}", ""):
        path = documentation / f"librust-{package}{suffix}-dev" / "copyright"
        if path.is_file():
            return read_debian_copyright(path)
    return None


def _stanzas(text: str) -> Iterator[dict[str, str]]:
    for paragraph in re.split(r"\n[ \t]*\n", text):
        fields: dict[str, str] = {}
        name = ""
        for line in paragraph.splitlines():
            if line[:1] in (" ", "\t"):
                fields[name] = fields.get(name, "") + "\n" + line.strip()
            elif ":" in line:
                name, _, value = line.partition(":")
                name = name.lower()
                fields[name] = value.strip()
        yield fields


def _pattern(text: str) -> str:
    """Return the regular expression of a pattern: `*` and `?` match any characters, including slashes."""
    parts = re.findall(r"\\.|.", text.removeprefix("./"), re.DOTALL)
    return "".join({"*": ".*", "?": "."}.get(part, re.escape(part[-1])) for part in parts)
