"""
Make minimal pairs from templates.

Each file in `templates/` holds the templates of one category. A template has one or two forms. A form is written as

    === binding.used_afterwards E0382
    owner = title / label / path
    other = heading / caption / target

    fn main() {
        let $owner = String::from("Moby Dick");
        let $other = «&»«»$owner;
        println!("{} has {} bytes", $owner, $other.len());
    }

The first line names the template and the form, and the error codes with which rustc may reject the second program.
The lines below it list the values of the slots: the first pair takes the first value of every slot, the second pair
the second, and so on. After an empty line comes the program. There `$owner` is a slot, and `«&»«»` the place in which
the two programs differ: first the text of the program that compiles, then that of the one that does not.

The forms of a template are written so that nothing on the surface decides: the same edit makes the program valid in
one form and invalid in the other, or two names change places. It does then not help to know which program is longer or
has the rarer tokens.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template as Slots

from evaluation.suites.semantic.pairs import CATEGORIES, MinimalPair
from evaluation.text_files import read_text

FOLDER = Path(__file__).with_name("templates")
EDIT = re.compile("«([^«»]*)»«([^«»]*)»")


@dataclass(frozen=True)
class Form:
    """
    One form of a template.

    Attributes:
        category: One of `CATEGORIES`.
        name: Template and form, such as "binding.used_afterwards".
        codes: Error codes with which rustc may reject the second program.
        slots: For each slot its values, as many in each.
        program: Text with slots and one edit.

    Raises:
        ValueError: The codes are not the category's, or the program has not exactly one edit.
    """

    category: str
    name: str
    codes: Sequence[str]
    slots: Mapping[str, Sequence[str]]
    program: str

    def __post_init__(self):
        where = f"{self.category}/{self.name}"
        foreign = sorted(set(self.codes) - CATEGORIES[self.category])
        if foreign or not self.codes:
            raise ValueError(f"{where} must have error codes of its category, got {', '.join(foreign) or 'none'}")
        if len(EDIT.findall(self.program)) != 1:
            raise ValueError(f"{where} must differ in one place, got {len(EDIT.findall(self.program))}")
        if len({len(values) for values in self.slots.values()}) != 1:
            raise ValueError(f"{where} must have as many values for each slot, got {dict(self.slots)}")

    def pairs(self) -> Iterator[MinimalPair]:
        """Yield one pair for each value of the slots."""
        before, accepted, rejected, after = EDIT.split(self.program)
        for number, values in enumerate(zip(*self.slots.values(), strict=True), start=1):
            slots = dict(zip(self.slots, values, strict=True))
            parts = [Slots(part).substitute(slots) for part in (before, accepted, rejected, after)]
            yield MinimalPair(f"{self.category}/{self.name}/{number}", self.codes, *parts)


def read_forms(path: Path) -> Iterator[Form]:
    """Yield the forms of a file of templates, whose name is their category."""
    for part in read_text(path).split("\n=== ")[1:]:
        head, _, program = part.partition("\n\n")
        first, *lines = head.split("\n")
        name, *codes = first.split()
        slots = {line.split(" = ", 1)[0]: line.split(" = ", 1)[1].split(" / ") for line in lines}
        yield Form(path.stem, name, tuple(codes), slots, program.strip("\n") + "\n")


def all_pairs(folder: Path = FOLDER) -> list[MinimalPair]:
    """Return the pairs of all templates, category by category."""
    return [
        pair for category in CATEGORIES for form in read_forms(folder / f"{category}.txt") for pair in form.pairs()
    ]
