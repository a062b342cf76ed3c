"""How float32 values become codes, and codes values, lane by lane; and the loops over arrays.

A body takes `given`, the parameters of a format (`halfulp.dtypes.parameters`), by their names. NaN
results are canonical: quiet, sign 0.
"""

from abc import ABC, abstractmethod
from typing import Any

from halfulp.dtypes.guards import Guard, Guards
from halfulp.dtypes.lanes import BYTES, F32, I8, I16, I32, Lanes
from halfulp.dtypes.loops import Body, Quick, lane_loop
from halfulp.dtypes.parameters import INF32, MAGNITUDE32, NAMES32, SIGN32

_LEAST_NORMAL = 0x00800000  # of float32: 2^-126
Given = dict[str, Lanes]
Bodies = tuple[Lanes, list[Lanes]]


class Way(ABC):
    """One way to round float32 bits to the spacing of a format.

    `above` serves the values from `min_normal` on, where the spacing is a number of float32's own
    bits; the others serve those below, which lie on one grid.
    """

    def __init__(self, inputs: list[Lanes], given: Given) -> None:
        self.x, self.given = inputs[0], given
        self.magnitude = self.x & MAGNITUDE32

    @abstractmethod
    def above(self) -> Lanes:
        """float32 bits of the rounded value; a carry walks into the exponent by itself."""

    @abstractmethod
    def below(self) -> Lanes:
        """float32 bits of the rounded value."""

    @abstractmethod
    def below_code(self) -> Lanes:
        """The rounded value in units of the grid."""

    def overflow(self, name: str) -> Lanes:
        """What a finite value past the largest one becomes; `name` is that of the parameter."""
        return self.given[name]


class Nearest(Way):
    """To nearest even; below `min_normal` by a magic number that float addition rounds to."""

    def above(self) -> Lanes:
        odd = (self.magnitude >> self.given["shift"]) & self.given["odd"]
        return (self.magnitude + self.given["half"] + odd) & self.given["mask"]

    def _moved(self) -> Lanes:
        return self.magnitude.bits(F32) + self.given["magic"].bits(F32)

    def below(self) -> Lanes:
        return (self._moved() - self.given["magic"].bits(F32)).bits(I32)

    def below_code(self) -> Lanes:
        return self._moved().bits(I32) - self.given["magic"]


class Directed(Way):
    """To nearest away, toward zero, toward positive, toward negative.

    In the native's own direction of rounding the magic number works for them too: with x's sign,
    and for nearest away, which cuts off, with half a unit added first.
    """

    def __init__(self, inputs: list[Lanes], given: Given) -> None:
        super().__init__(inputs, given)
        self.sign = self.x & SIGN32
        self.magic = given["magic"] | self.sign

    def _by_sign(self, name: str) -> Lanes:
        return self.sign.differs(0).where(self.given[name + "_minus"], self.given[name])

    def above(self) -> Lanes:
        return (self.magnitude + self._by_sign("added")) & self.given["mask"]

    def _moved(self) -> Lanes:
        half = self.given["half_unit"] | self.sign
        return (self.x.bits(F32) + half.bits(F32)) + self.magic.bits(F32)

    def below(self) -> Lanes:
        return (self._moved() - self.magic.bits(F32)).bits(I32) & MAGNITUDE32

    def below_code(self) -> Lanes:
        return self._moved().bits(I32) - self.magic

    def overflow(self, name: str) -> Lanes:
        return self._by_sign(name)


class ToOdd(Way):
    """What was not exact is cut off and gets its last bit set; the native's direction cuts off."""

    def above(self) -> Lanes:
        cut = self.magnitude & self.given["mask"]
        return cut.differs(self.magnitude).where(cut | self.given["odd_bit"], cut)

    def _moved(self) -> Lanes:
        magic, size = self.given["magic"].bits(F32), self.magnitude.bits(F32)
        moved = size + magic
        inexact = (moved - magic).differs_from_number(size)
        return inexact.where(moved.bits(I32) | 1, moved.bits(I32))

    def below(self) -> Lanes:
        return (self._moved().bits(F32) - self.given["magic"].bits(F32)).bits(I32)

    def below_code(self) -> Lanes:
        return self._moved() - self.given["magic"]


class _ByNoise(Way):
    """Stochastic: random bits are added below the last place; the second input holds them."""

    def __init__(self, inputs: list[Lanes], given: Given) -> None:
        super().__init__(inputs, given)
        self.noise = inputs[1]

    def above(self) -> Lanes:
        added = (self.noise << self.given["noise_left"]) >> self.given["noise_right"]
        return (self.magnitude + added) & self.given["mask"]

    def below_code(self) -> Lanes:
        # the grid is scaled to the integers; of values that belong to `above` the conversion may
        # make anything: nobody looks at it
        units = self.magnitude.bits(F32) * self.given["scale"].bits(F32)
        whole = units.convert("fptosi", I32)
        rest = units - whole.convert("sitofp", F32)
        share = (rest * self.given["noise_scale"].bits(F32)).convert("fptoui", I32)
        top = share << self.given["noise_top"]
        carries = (top + (self.noise << self.given["noise_top"])) < top
        return carries.where(whole + 1, whole)

    def below(self) -> Lanes:
        units = self.below_code().convert("sitofp", F32)
        return (units * self.given["subnormal_scale"].bits(F32)).bits(I32)


def _round_by(way: Way) -> Lanes:
    given, magnitude = way.given, way.magnitude
    result = (magnitude < given["min_normal"]).where(way.below(), way.above())
    result = (result > given["max"]).where(way.overflow("overflow"), result)
    nan = magnitude > INF32
    result = (magnitude >= INF32).where(nan.where(given["nan"], given["infinity"]), result)
    return result | _sign(way.x & SIGN32, result, nan, given["least_signed"], result.like(INF32))


def _sign(sign: Lanes, result: Lanes, nan: Lanes, least: Lanes, most: Lanes) -> Lanes:
    """The sign bits, but 0 where the source was NaN or the magnitude is not in [least, most]."""
    # below `least` the difference wraps to more than any magnitude
    outside = (result - least) > (most - least)
    return (nan | outside).where(sign.like(0), sign)


def round_lanes(x: Lanes, given: Given) -> Lanes:
    """float32 bits to the bits of the nearest value of the format, ties to even (parameters32)."""
    return _round_by(Nearest([x], given))


def _on_spacing(magnitude: Lanes, given: Given) -> tuple[Lanes, Lanes, Lanes]:
    """(binade, spacer, |x| + spacer): float32's addition rounds `magnitude` to nearest even.

    The spacer is the power of two whose last place is the spacing of the format at x.
    """
    binade = magnitude.call("umax", given["tiny"]) & INF32
    spacer = binade + given["raise"]
    return binade, spacer, (magnitude.bits(F32) + spacer.bits(F32)).bits(I32)


def quick_round(inputs: list[Lanes], given: Given) -> tuple[Guards, Lanes]:
    """As `round_lanes` where |x| < `ordinary`, in a third of the steps."""
    x = inputs[0]
    magnitude = x & MAGNITUDE32
    _, spacer, moved = _on_spacing(magnitude, given)
    size = moved.bits(F32) - spacer.bits(F32)
    # one operation where masks of bits have three operands, and after the jump for certain
    result = size.call("copysign", x.bits(F32)).bits(I32)
    return [Guard(magnitude, given["ordinary"])], result


def quick_encode(width: Any) -> Quick:
    """As `encoding(Nearest, width)` where |x| < `ordinary`, in half of the steps."""

    def quick(inputs: list[Lanes], given: Given) -> tuple[Guards, Lanes]:
        x = inputs[0]
        magnitude = x & MAGNITUDE32
        binade, spacer, moved = _on_spacing(magnitude, given)
        code = (moved - spacer) + ((binade - given["tiny"]) >> given["shift"])
        code = code | ((x >> 31) << given["sign_shift"])
        code = code if width is I32 else code.convert("trunc", width)
        return [Guard(magnitude, given["ordinary"])], code

    return quick


def _quick_noise(inputs: list[Lanes], given: Given) -> tuple[Guards, Lanes]:
    """As rounding(_ByNoise) where |x| < `ordinary` and less than 32 bits are dropped.

    What is dropped, as a fraction of 32 bits, and the noise add up to 1 and more, or they do not.
    """
    x, noise = inputs
    magnitude = x & MAGNITUDE32
    _, spacer, _ = _on_spacing(magnitude, given)
    significand = (magnitude & 0x007FFFFF) | _LEAST_NORMAL
    dropped = (given["deepest"] - (magnitude >> 23)).call("smax", given["shift"])
    whole, noise = significand >> dropped, noise << given["noise_top"]
    carries = ((significand << (dropped.like(32) - dropped)) + noise) < noise
    whole = carries.where(whole + 1, whole)
    size = (spacer + whole).bits(F32) - spacer.bits(F32)
    # float32's subnormal numbers have no hidden bit, and wrap to more than any magnitude
    inside = Guard(magnitude - _LEAST_NORMAL, given["ordinary_noise"])
    guards = [inside, Guard(dropped, dropped.like(32))]
    return guards, size.call("copysign", x.bits(F32)).bits(I32)


def rounding(kind: type[Way]) -> Body:
    def body(inputs: list[Lanes], given: Given) -> Bodies:
        return _round_by(kind(inputs, given)), []

    return body


def encoding(kind: type[Way], width: Any) -> Body:
    """float32 bits to codes of a type (parameters32)."""

    def body(inputs: list[Lanes], given: Given) -> Bodies:
        way = kind(inputs, given)
        magnitude = way.magnitude
        above = (way.above() - given["base"]) >> given["shift"]
        code = (magnitude < given["min_normal"]).where(way.below_code(), above)
        code = (code > given["max_code"]).where(way.overflow("overflow_code"), code)
        nan = magnitude > INF32
        special = nan.where(given["nan_code"], given["infinity_code"])
        code = (magnitude >= INF32).where(special, code)
        sign = (way.x >> 31) << given["sign_shift"]
        code = code | _sign(sign, code, nan, given["least_signed"], given["most_signed"])
        return (code if width is I32 else code.convert("trunc", width)), []

    return body


def _decode(width: Any) -> Body:
    """Codes of a type to float32 bits (parameters32)."""

    def body(inputs: list[Lanes], given: Given) -> Bodies:
        code = inputs[0] if width is I32 else inputs[0].convert("zext", I32)
        magnitude = code & given["magnitude_codes"]
        below = (magnitude.convert("sitofp", F32) * given["subnormal_scale"].bits(F32)).bits(I32)
        above = (magnitude << given["shift"]) + given["base"]
        result = (magnitude < given["normal_code"]).where(below, above)
        infinite = magnitude.equals(given["infinity_found"])
        special = infinite.where(result.like(INF32), given["nan"])
        no_number = (magnitude > given["max_code"]) | code.equals(given["nan_found"])
        result = no_number.where(special, result)
        sign = (result > INF32).where(code.like(0), (code >> given["sign_shift"]) << 31)
        return result | sign, []

    return body


def _rounder(name: str, kind: type[Way], inputs: list[Any], directed: bool = False) -> Any:
    quick = {Nearest: quick_round, _ByNoise: _quick_noise}.get(kind)
    return lane_loop(name, rounding(kind), inputs, I32, NAMES32, directed=directed, quick=quick)


def _encoder(
    name: str, kind: type[Way], inputs: list[Any], width: Any, directed: bool = False
) -> Any:
    lanes, body = 64 // BYTES[width], encoding(kind, width)
    quick = quick_encode(width) if kind is Nearest else None
    return lane_loop(
        name, body, inputs, width, NAMES32, lanes=lanes, directed=directed, quick=quick
    )


_NOISY = [I32, I32]  # float32 bits and noise
round_loop = _rounder("halfulp_round", Nearest, [I32])
encode8_loop = _encoder("halfulp_encode8", Nearest, [I32], I8)
encode16_loop = _encoder("halfulp_encode16", Nearest, [I32], I16)
encode32_loop = _encoder("halfulp_encode32", Nearest, [I32], I32)
directed_round_loop = _rounder("halfulp_directed_round", Directed, [I32], True)
directed_encode8_loop = _encoder("halfulp_directed_encode8", Directed, [I32], I8, True)
directed_encode16_loop = _encoder("halfulp_directed_encode16", Directed, [I32], I16, True)
directed_encode32_loop = _encoder("halfulp_directed_encode32", Directed, [I32], I32, True)
odd_round_loop = _rounder("halfulp_odd_round", ToOdd, [I32], True)
odd_encode8_loop = _encoder("halfulp_odd_encode8", ToOdd, [I32], I8, True)
odd_encode16_loop = _encoder("halfulp_odd_encode16", ToOdd, [I32], I16, True)
odd_encode32_loop = _encoder("halfulp_odd_encode32", ToOdd, [I32], I32, True)
noise_round_loop = _rounder("halfulp_noise_round", _ByNoise, _NOISY)
noise_encode8_loop = _encoder("halfulp_noise_encode8", _ByNoise, _NOISY, I8)
noise_encode16_loop = _encoder("halfulp_noise_encode16", _ByNoise, _NOISY, I16)
noise_encode32_loop = _encoder("halfulp_noise_encode32", _ByNoise, _NOISY, I32)
decode8_loop = lane_loop("halfulp_decode8", _decode(I8), [I8], I32, NAMES32)
decode16_loop = lane_loop("halfulp_decode16", _decode(I16), [I16], I32, NAMES32)
decode32_loop = lane_loop("halfulp_decode32", _decode(I32), [I32], I32, NAMES32)
