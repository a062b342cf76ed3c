"""THE TABLE of instances and prices, each number with its source and its day."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType

from halfulp.dtypes.checks import integer
from halfulp.engines.chips import RATED_CHIPS, Chip
from halfulp.engines.facts import Fact, check_unit

ON_DEMAND, RESERVED = "on-demand", "reserved"
_SECONDS = 3600


@dataclass(frozen=True)
class Instance:
    """A machine that is rented by the hour.

    name     as its owner writes it
    chip     of which it has `chips`
    prices   by kind; the first is the one that is taken unless another is asked for

    Raises TypeError, ValueError for numbers that are none, and for prices of another unit.
    """

    name: str
    chip: Chip
    chips: int
    prices: Mapping[str, Fact]

    def __post_init__(self) -> None:
        integer(self.chips, f"{self.name}: chips", 1, 1 << 20)
        if not self.prices:
            raise ValueError(f"{self.name} has no price; give one with its source")
        for kind, price in self.prices.items():
            check_unit(price, "USD/h", f"{self.name}: {kind}")

    @property
    def cores(self) -> int:
        return self.chips * self.chip.cores

    @property
    def memory_bytes(self) -> float:
        """Of all its chips."""
        return self.chips * self.chip.memory.value

    def price(self, kind: str | None = None) -> Fact:
        """Raises ValueError for a kind that it has not."""
        if kind is None:
            return next(iter(self.prices.values()))
        if kind not in self.prices:
            raise ValueError(f"{self.name} has no {kind} price; it has {', '.join(self.prices)}")
        return self.prices[kind]

    def usd(self, seconds: float, kind: str | None = None) -> float:
        """What the whole machine costs for so long."""
        return self.price(kind).value * seconds / _SECONDS


_TABLES = "about-neuron/benchmarks, instance prices"
#: The on-demand prices were last listed before this day, the others since.
_CHANGED = date(2024, 9, 16)


def _prices(on_demand: float, reserved: float) -> Mapping[str, Fact]:
    return MappingProxyType(
        {
            ON_DEMAND: Fact(on_demand, "USD/h", f"{_TABLES} (listed until then)", _CHANGED),
            RESERVED: Fact(reserved, "USD/h", f"{_TABLES} (RI-effective)", _CHANGED),
        }
    )


#: name: chip, chips, on-demand, effective hourly price of a reserved instance
_ROWS = {
    "inf1.xlarge": ("inferentia1", 1, 0.228, 0.110),
    "inf1.2xlarge": ("inferentia1", 1, 0.362, 0.174),
    "inf1.6xlarge": ("inferentia1", 4, 1.18, 0.567),
    "inf1.24xlarge": ("inferentia1", 16, 4.721, 2.269),
    "inf2.xlarge": ("inferentia2", 1, 0.758, 0.328),
    "inf2.8xlarge": ("inferentia2", 1, 1.97, 0.850),
    "inf2.24xlarge": ("inferentia2", 6, 6.49, 2.804),
    "inf2.48xlarge": ("inferentia2", 12, 12.981, 5.608),
    "trn1.2xlarge": ("trainium1", 1, 1.34, 0.512),
    "trn1.32xlarge": ("trainium1", 16, 21.50, 8.197),
}
#: Every instance by its name.
INSTANCES: dict[str, Instance] = {
    name: Instance(name, RATED_CHIPS[chip], chips, _prices(on_demand, reserved))
    for name, (chip, chips, on_demand, reserved) in _ROWS.items()
}
#: The smallest of each chip: what a rate's cost is of unless another is asked for.
SMALLEST = {
    "inferentia1": "inf1.xlarge",
    "inferentia2": "inf2.xlarge",
    "trainium1": "trn1.2xlarge",
}
