"""Order of the slots of a key-value cache: prelude, coda, then the core once per loop."""

from typing import NamedTuple


class SlotLayout(NamedTuple):
    """
    Order of the cache slots of a model whose layers are, in this order, a prelude, a core that every loop applies, and
    a coda. Prelude and coda have one slot per layer and come first, so that calls with fewer loops can share a cache.

    Loops, layers and slots are counted from 0; a layer is its index in the model's `layers`.

    Attributes:
        prelude: Number of layers of the prelude.
        core: Number of layers of the core.
        coda: Number of layers of the coda.
    """

    prelude: int
    core: int
    coda: int

    def count(self, loops: int) -> int:
        """Return the number of slots of a number of loops."""
        return self.prelude + self.coda + loops * self.core

    def slot(self, loop: int, layer: int) -> int:
        """Return the slot of a layer in a loop, which has no effect for layers of prelude and coda."""
        if layer < self.prelude:
            return layer
        if layer >= self.prelude + self.core:
            return layer - self.core
        return self.coda + loop * self.core + layer

    def core_place(self, slot: int) -> tuple[int, int] | None:
        """Return the loop and the layer of a slot of the core; None for one of prelude and coda."""
        outside = self.prelude + self.coda
        if slot < outside:
            return None
        loop, position = divmod(slot - outside, self.core)
        return loop, self.prelude + position
