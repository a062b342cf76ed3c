"""How float64 values become codes of any format, and its codes values; conversions beside them.

For the formats and sources that the float32 kernels of `halfulp.dtypes.codec` do not serve.
"""

from typing import Any

from halfulp.dtypes.lanes import F32, F64, I8, I16, I32, I64, Lanes
from halfulp.dtypes.loops import Body, lane_loop
from halfulp.dtypes.parameters import MAGNITUDE64, NAMES64

Given = dict[str, Lanes]
Bodies = tuple[Lanes, list[Lanes]]
_INF = 0x7FF0000000000000


def _wide(narrow: Given) -> Given:
    given = {name: lanes.convert("sext", I64) for name, lanes in narrow.items()}
    for name in ("bottom", "middle"):
        low, high = narrow[name + "_low"], narrow[name + "_high"]
        given[name] = low.convert("zext", I64) | (high.convert("zext", I64) << 32)
    return given


class Parts:
    """A float64 taken apart: significand * 2^(exponent - 52), and how much of it has to go."""

    def __init__(self, x: Lanes, given: Given) -> None:
        self.given = given
        self.magnitude = x & MAGNITUDE64
        self.negative = x >> 63
        field = self.magnitude >> 52
        self.significand = (self.magnitude & ((1 << 52) - 1)) | (field.call("umin", 1) << 52)
        self.exponent = field.call("umax", 1) - 1023
        self.effective = self.exponent.call("smax", given["emin"])
        # bits below the last place of the target
        self.dropped = self.effective - given["mantissa"] - self.exponent + 52
        # with 55 and more of them nothing but stickiness is left
        self.cut = self.dropped.call("smin", 55)
        self.below = self.significand >> self.cut

    def _index(self, odd: Lanes, guard: Lanes, sticky: Lanes) -> Lanes:
        index = (self.negative << 3) | (odd << 2) | (guard << 1) | sticky
        return (self.given["table"] >> index) & 1

    def up_by_table(self) -> Lanes:
        """1 where the magnitude takes one more unit."""
        one = self.magnitude.like(1)
        guard = (self.significand >> (self.cut - 1)) & 1
        sticky = (self.significand & ((one << (self.cut - 1)) - 1)).call("umin", 1)
        return self._index(self.below & 1, guard, sticky)

    def bottom_by_table(self) -> Lanes:
        """The same between zero and the smallest value of a format without subnormals."""
        middle = self.given["middle"]
        guard = (self.magnitude >= middle).convert("zext", I64)
        sticky = self.magnitude.differs(middle) & self.magnitude.differs(0)
        return self._index(guard.like(0), guard, sticky.convert("zext", I64))

    def up_by_noise(self, noise: Lanes) -> Lanes:
        one, bits = self.magnitude.like(1), self.given["random_bits"]
        rest = self.significand & ((one << self.dropped.call("smin", 63)) - 1)
        left = (bits - self.dropped).call("smax", 0)
        right = (self.dropped - bits).call("smax", 0).call("smin", 63)
        return (((rest << left) >> right) + noise) >> bits

    def bottom_by_noise(self, noise: Lanes) -> Lanes:
        """The smallest value is 2^mantissa + 1 units, so that here is a division."""
        bits, mantissa = self.given["random_bits"], self.given["mantissa"]
        shift = self.given["emin"] - mantissa - self.exponent + 52 - bits
        left = (shift.like(0) - shift).call("smax", 0)
        right = shift.call("smax", 0).call("smin", 63)
        units = (mantissa.like(1) << mantissa) + 1
        share = ((self.significand << left) >> right).divide_unsigned(units)
        return (share + noise) >> bits

    def code(self, up: Lanes, bottom_up: Lanes) -> Lanes:
        """The code, the specials and the sign as the parameters say."""
        given, magnitude = self.given, self.magnitude
        binade = (self.effective - given["emin"]) << given["mantissa"]
        code = binade + self.below + up - given["implicit"]
        # a scale has no zero to go down to
        lowest = given["unsigned"].differs(0).where(magnitude.like(0), bottom_up)
        code = (magnitude < given["bottom"]).where(lowest, code)
        negative = self.negative.differs(0)
        over = negative.where(given["overflow_minus"], given["overflow_plus"])
        code = (code > given["max_code"]).where(over, code)
        code = magnitude.equals(_INF).where(given["infinity_code"], code)
        no_scale = (negative | magnitude.equals(0)) & given["unsigned"].differs(0)
        nan = magnitude > _INF
        code = (nan | no_scale).where(given["nan_code"], code)
        outside = (code - given["least_signed"]) > (given["most_signed"] - given["least_signed"])
        unsigned = nan | outside | given["unsigned"].differs(0)
        return code | unsigned.where(code.like(0), self.negative << given["sign_shift"])


def _encode(width: Any) -> Body:
    """float64 bits to codes of a type, rounded by a truth table (parameters64)."""

    def body(inputs: list[Lanes], narrow: Given) -> Bodies:
        parts = Parts(inputs[0], _wide(narrow))
        code = parts.code(parts.up_by_table(), parts.bottom_by_table())
        return code.convert("trunc", width), []

    return body


def _noise_encode(width: Any) -> Body:
    """float64 bits and noise to codes of a type, rounded stochastically (parameters64)."""

    def body(inputs: list[Lanes], narrow: Given) -> Bodies:
        parts, noise = Parts(inputs[0], _wide(narrow)), inputs[1].convert("zext", I64)
        code = parts.code(parts.up_by_noise(noise), parts.bottom_by_noise(noise))
        return code.convert("trunc", width), []

    return body


def power_of_two(exponent: Lanes) -> Lanes:
    """2^exponent as float64 for -1022 <= exponent <= 1023."""
    return ((exponent + 1023) << 52).bits(F64)


def _decode(width: Any) -> Body:
    """Codes of a type to float32 bits, for any format (parameters64)."""

    def body(inputs: list[Lanes], narrow: Given) -> Bodies:
        given = _wide(narrow)
        code = inputs[0].convert("zext", I64)
        magnitude = code & given["magnitude_codes"]
        field, one = magnitude >> given["mantissa"], code.like(1)
        fraction = magnitude & ((one << given["mantissa"]) - 1)
        hidden = field.call("umin", 1).call("umax", one - given["least_field"])
        exponent = field.call("umax", given["least_field"]) - given["bias"] - given["mantissa"]
        value = (fraction | (hidden << given["mantissa"])).convert("sitofp", F64)
        # float32 holds every value: this conversion is exact
        single = (value * power_of_two(exponent)).convert("fptrunc", F32).bits(I32)
        zero = magnitude.equals(0) & given["unsigned"].equals(0)
        infinite = magnitude.equals(given["infinity_found"])
        no_number = (magnitude > given["max_code"]) | code.equals(given["nan_found"])
        special = infinite.where(single.like(0x7F800000), single.like(0x7FC00000))
        result = no_number.where(special, zero.where(single.like(0), single))
        sign = ((code >> given["sign_shift"]) << 31).convert("trunc", I32)
        bare = (result > 0x7F800000) | given["unsigned"].differs(0)
        return result | bare.where(result.like(0), sign), []

    return body


def _widen(inputs: list[Lanes], given: Given) -> Bodies:
    """float32 bits to float64 bits."""
    return inputs[0].bits(F32).convert("fpext", F64).bits(I64), []


encode64_8_loop = lane_loop("halfulp_encode64_8", _encode(I8), [I64], I8, NAMES64, lanes=8)
encode64_16_loop = lane_loop("halfulp_encode64_16", _encode(I16), [I64], I16, NAMES64, lanes=8)
encode64_32_loop = lane_loop("halfulp_encode64_32", _encode(I32), [I64], I32, NAMES64, lanes=8)
noise_encode64_8_loop = lane_loop(
    "halfulp_noise_encode64_8", _noise_encode(I8), [I64, I32], I8, NAMES64, lanes=8
)
noise_encode64_16_loop = lane_loop(
    "halfulp_noise_encode64_16", _noise_encode(I16), [I64, I32], I16, NAMES64, lanes=8
)
noise_encode64_32_loop = lane_loop(
    "halfulp_noise_encode64_32", _noise_encode(I32), [I64, I32], I32, NAMES64, lanes=8
)
decode_any8_loop = lane_loop("halfulp_decode_any8", _decode(I8), [I8], I32, NAMES64, lanes=8)
decode_any16_loop = lane_loop("halfulp_decode_any16", _decode(I16), [I16], I32, NAMES64, lanes=8)
decode_any32_loop = lane_loop("halfulp_decode_any32", _decode(I32), [I32], I32, NAMES64, lanes=8)
widen_loop = lane_loop("halfulp_widen", _widen, [I32], I64, lanes=8)
