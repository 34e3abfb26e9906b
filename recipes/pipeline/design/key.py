"""A key of the design document with its counterpart here, and the rows that it has for the recipes."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Values = Mapping[str, Any]
"""Values by name: the settings of a recipe, or a configuration of the document."""
RECIPES = ("config_a", "config_b", "config_c")


@dataclass(frozen=True)
class Key:
    """
    A key, option, variable or figure of the design document.

    Attributes:
        name: In the document, with its section, such as "model.dim".
        setting: The setting of recipes that has its value, such as "model.hidden_size"; None without one.
        sentence: How the setting differs, which switch of another program it is, or why there is none.
        switch: Switch of accelerate, PyTorch or the operating system that it is, such as "CUDA_VISIBLE_DEVICES".
        read: Makes the value in the document's terms from all settings of a recipe and the document's configuration;
            None where it is the setting's own.
        difference: Why the value of a recipe is another one than the document's.
    """

    name: str
    setting: str | None
    sentence: str = ""
    switch: str | None = None
    read: Callable[[Values, Values], Any] | None = None
    difference: str = ""


@dataclass(frozen=True)
class Row:
    """
    A key in one of the configurations.

    Attributes:
        where: Its place in the document, such as "CONFIG_A".
        key: Name, setting and sentence.
        value: Value in the document.
        here: Value of the recipe, in the document's terms; None for a key that is no setting.
    """

    where: str
    key: Key
    value: Any
    here: Any

    @property
    def is_equal(self) -> bool:
        """Whether the recipe has the document's value."""
        return type(self.here) is type(self.value) and self.here == self.value

    @property
    def sentence(self) -> str:
        """The key's sentence, with why the value differs where it does."""
        parts = [self.key.sentence, "" if self.is_equal else self.key.difference]
        return " ".join(filter(None, parts))


@dataclass(frozen=True)
class Part:
    """
    A part of the document that all three configurations have.

    Attributes:
        title: Heading on the page.
        introduction: Sentences below the heading.
        where: Name of the place by recipe.
        keys: The keys.
        values: Values of the document by recipe and name.
    """

    title: str
    introduction: str
    where: Mapping[str, str]
    keys: tuple[Key, ...]
    values: Mapping[str, Values]

    def rows(self, name: str, settings: Values) -> Iterator[Row]:
        """
        Yield a row for each key of one configuration, in the order of the document.

        Args:
            name: Of the recipe.
            settings: All its settings by name.
        """
        keys = {key.name: key for key in self.keys}
        for key_name, value in self.values[name].items():
            key = keys[key_name]
            if key.setting is None:
                here = None
            else:
                here = settings[key.setting] if key.read is None else key.read(settings, self.values[name])
            yield Row(self.where[name], key, value, here)
