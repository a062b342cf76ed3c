"""The order in which the Vector Engine adds along an axis, as a value."""

from dataclasses import dataclass

from halfulp.dtypes.checks import integer


@dataclass(frozen=True)
class Reduction:
    """Chains of an fp32 sum, each from +0 in index order, and a tree that joins them.

    lanes   element i goes to chain i mod lanes: 1 is sequential, 2 even and odd elements, 0 as many
            chains as elements, which leaves the tree alone. Neighboring chains are added first,
            then neighboring pairs, and so on; what has no neighbor waits

    AWS does not say which it is (assumed: sequential). Source of the alternatives: bn_stats has
    even and odd groups (documented: nki.isa bn_stats).
    """

    lanes: int = 1

    def __post_init__(self) -> None:
        integer(self.lanes, "lanes", 0, 1 << 20)

    def chains(self, length: int) -> int:
        """How many chains a sum of `length` numbers has."""
        return max(min(self.lanes, length) if self.lanes else length, 1)


SEQUENTIAL = Reduction()
EVEN_ODD = Reduction(lanes=2)
TREE = Reduction(lanes=0)
