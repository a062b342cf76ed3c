"""Faults planted by hand in the kernels' own code, and the default tests that must notice each.

`test_planted.py` plants them. What stands here are mistakes that somebody could make: a tie
without its parity, a bit below that is forgotten, a sign too many, an end one off.
"""

from tests.planting import Planted, named


def _of(file: str, test: str, *cases: str) -> tuple[str, ...]:
    return named(f"dtypes/{file}", test, *cases)


_BOUNDARIES = _of("test_cast.py", "test_encode_is_exact_at_every_boundary", "e4m3")
_SMALL = _of("test_cast.py", "test_encode_is_exact_at_every_boundary", "e4m3fnuz", "e2m1fn")
_SCALE = _of("test_cast.py", "test_encode_is_exact_at_every_boundary", "e8m0fnu")
_BF16 = _of("test_cast.py", "test_encode_is_exact_on_every_bfloat16", "e5m2")
_ROUNDED = _of("test_cast.py", "test_round_to_gives_the_value_of_the_code", "e4m3")
_DECODED = _of("test_cast.py", "test_decode_gives_the_value_of_every_code", "e4m3", "e4m3fnuz")
_WIDE_DECODED = _of("test_cast.py", "test_decode_gives_the_value_of_every_code", "e8m0fnu")
_LENGTHS = _of(
    "test_cast.py", "test_every_length_is_served_and_nothing_beside_it_is_written",
    "float32-17", "float32-1000", "float64-1000",
)  # fmt: skip
_LARGE = _of("test_cast.py", "test_arrays_for_several_threads_are_as_exact_as_small_ones", "e4m3")
_DRAWS = _of("test_stochastic.py", "test_each_draw_is_that_of_the_reference", "e4m3", "e8m0fnu")
_NAN = _of("test_cast.py", "test_what_stands_for_nan_has_no_sign")
_WIDE = _of("test_cast.py", "test_encode_is_exact_at_every_boundary", "float(8,7,bias=142)")
_WIDE_DRAWS = _of("test_stochastic.py", "test_each_draw_is_that_of_the_reference", "fp32")
_LEFT = _of("test_environment.py", "test_a_cast_leaves_the_arithmetic_of_the_process_as_it_was")
_THREADS = _of("test_environment.py", "test_threads_change_no_bit")
_SMALLEST_SCALE = _of("test_blocks.py", "test_a_scale_byte_of_zero_is_two_to_the_minus_127")
_BITS = _of("test_stochastic.py", "test_an_element_has_the_bits_that_are_documented")
_PARTS = _of("test_stochastic.py", "test_parts_give_what_the_whole_gives")
_ONCE = _of("test_sources.py", "test_float64_is_rounded_once")
_INTEGERS = _of("test_sources.py", "test_64_bit_integers_are_rounded_once", "nearest_even-bf16")
_TO_INTEGERS = _of("test_integers.py", "test_floats_are_rounded_and_clamped")
_FLUSHING = _of("test_environment.py", "test_flushing_changes_no_float", "e4m3")
_BLOCKS = _of("test_blocks.py", "test_elements_are_exact_at_every_boundary", "mxfp8_e4m3-0")
_SCALES = _of("test_blocks.py", "test_scales_are_exact_at_every_exponent")
_QUOTIENTS = _of("test_blocks.py", "test_quotients_are_exact_beside_every_tie")
_SPECIAL = _of("test_blocks.py", "test_special_blocks_are_as_documented")

_ONE_VALUE_DRAWS = _of(
    "test_stochastic.py", "test_a_vector_of_one_value_and_one_draw_gives_what_they_give", "e4m3"
)
_VECTORS = "test_a_vector_of_one_value_gives_what_the_value_gives"
_VECTOR, _VECTOR_BF16, _VECTOR_SMALL = (
    _of("test_cast.py", _VECTORS, name) for name in ("e4m3", "bf16", "e4m3fnuz")
)

PLANTED = (
    Planted(
        "the quick way forgets where the spacing stays", "codec.py",
        'magnitude.call("umax", given["tiny"]) & INF32', "magnitude & INF32", _VECTOR,
    ),
    Planted(
        "the quick way takes what overflows", "parameters.py",
        "min(bits32(fmt.max) + 1, ", "min(INF32, ", _VECTOR,
    ),
    Planted(
        "the quick way's sum rounds to infinity", "parameters.py",
        "(254 - 23 + fmt.mantissa_bits) << 23", "(255 - 23 + fmt.mantissa_bits) << 23",
        _of("test_cast.py", _VECTORS, "float(8,22)"),
    ),
    Planted(
        "the quick way leaves minus zero where there is none", "parameters.py",
        "if fmt.mantissa_bits == 23 or not fmt.has_minus_zero:", "if fmt.mantissa_bits == 23:",
        _VECTOR_SMALL,
    ),
    Planted(
        "quick noise where nothing of a number is left", "codec.py",
        "guards = [inside, Guard(dropped, dropped.like(32))]", "guards = [inside]",
        _ONE_VALUE_DRAWS,
    ),
    Planted(
        "quick noise where a number overflows", "codec.py",
        "given[\"ordinary_noise\"])", "dropped.like(INF32))", _ONE_VALUE_DRAWS,
    ),
    Planted(
        "the quick way from float64 takes float32's subnormal numbers", "codec_wide.py",
        "[*guards, Guard(above, above.like(SIGN32))]", "guards", _VECTOR_BF16,
    ),
    Planted(
        "the first of several vectors is asked for all", "guards.py",
        "[guard.number for guard in same])", "[same[0].number])", _ROUNDED,
    ),
    Planted(
        "half of the lanes are asked for all", "guards.py",
        'low.call("umax", high)', "low", _BOUNDARIES,
    ),
    Planted(
        "a tie without its parity", "codec.py",
        'self.given["half"] + odd)', 'self.given["half"])', _BOUNDARIES,
    ),
    Planted(
        "the largest value overflows", "codec.py",
        '(result > given["max"])', '(result >= given["max"])', _ROUNDED,
    ),
    Planted(
        "overflow is judged before rounding", "codec.py",
        '(code > given["max_code"])', '(magnitude > given["max"])', _BOUNDARIES,
    ),
    Planted(
        "infinity is a finite number too large", "codec.py",
        "code = (magnitude >= INF32)", "code = (magnitude > INF32)", _BOUNDARIES,
    ),
    Planted(
        "NaN keeps its sign where another code stands for it", "codec.py",
        "(nan | outside)", "outside", _NAN,
    ),
    Planted(
        "minus zero where there is none", "codec.py",
        "outside = (result - least) > (most - least)", "outside = result > most", _SMALL,
    ),
    Planted(
        "directed roundings take the other sign", "codec.py",
        "self.sign.differs(0)", "self.sign.equals(0)", _BOUNDARIES,
    ),
    Planted(
        "to odd adds the last bit to an odd number", "codec.py",
        'where(cut | self.given["odd_bit"]', 'where(cut + self.given["odd_bit"]', _BOUNDARIES,
    ),
    Planted(
        "to odd forgets the bits that a subnormal loses", "codec.py",
        "moved.bits(I32) | 1", "moved.bits(I32)", _BOUNDARIES,
    ),
    Planted(
        "half a unit is added without the sign", "codec.py",
        'self.given["half_unit"] | self.sign', 'self.given["half_unit"]', _BOUNDARIES,
    ),
    Planted(
        "noise lies one bit too low", "codec.py",
        '>> self.given["noise_right"]', '>> (self.given["noise_right"] + 1)', _DRAWS,
    ),
    Planted(
        "noise that carries over 32 bits is lost", "codec.py",
        "return carries.where(whole + 1, whole)", "return whole", _DRAWS,
    ),
    Planted(
        "the largest code is no number", "codec.py",
        '(magnitude > given["max_code"]) | code', '(magnitude >= given["max_code"]) | code',
        _DECODED,
    ),
    Planted(
        "a float64's sticky bits miss the highest", "codec64.py",
        "((one << (self.cut - 1)) - 1)", "((one << (self.cut - 2)) - 1)", _SCALE,
    ),
    Planted(
        "a number far below the format leaves a guard bit", "codec64.py",
        'call("smin", 55)', 'call("smin", 53)', _WIDE,
    ),
    Planted(
        "a scale of a negative number", "codec64.py",
        "(negative | magnitude.equals(0))", "magnitude.equals(0)", _SCALE,
    ),
    Planted(
        "the smallest scale decodes as a subnormal", "codec64.py",
        'call("umax", one - given["least_field"])', 'call("umax", one - one)', _WIDE_DECODED,
    ),
    Planted(
        "a float64 loses its sticky bit on the way to float32", "codec_wide.py",
        "return inexact.where(cut | 1, bits)", "return cut", _ONCE,
    ),
    Planted(
        "a float64 that float32 rounds up stays there", "codec_wide.py",
        "(inexact & away).where(bits - 1, bits)", "bits", _ONCE,
    ),
    Planted(
        "the share of a float64 is cut one bit early", "codec64.py",
        '(bits - self.dropped).call("smax", 0)', '(bits - self.dropped - 1).call("smax", 0)',
        _WIDE_DRAWS,
    ),
    Planted(
        "the rest of an array is one short", "loops.py",
        "copy_lanes(builder, builder.ptrtoint(buffer, I64), places[-1], rest, self.output)",
        "copy_lanes(builder, builder.ptrtoint(buffer, I64), places[-1],"
        " builder.sub(rest, I64(1)), self.output)", _LENGTHS,
    ),
    Planted(
        "the rest of an array is cast once more than there is", "loops.py",
        "left = builder.sub(n, whole)", "left = builder.add(builder.sub(n, whole), I64(1))",
        _LENGTHS,
    ),
    Planted(
        "the loop turns once too often", "loops.py",
        'builder.cbranch(builder.icmp_signed("<", index, bounds[1]), loop, rest)',
        'builder.cbranch(builder.icmp_signed("<=", index, bounds[1]), loop, rest)', _LENGTHS,
    ),
    Planted(
        "a comparison of integers minds the sign", "lanes.py",
        "self.builder.icmp_signed if signed else self.builder.icmp_unsigned",
        "self.builder.icmp_signed", _SMALL,
    ),
    Planted(
        "a shift that should keep the sign does not", "lanes.py",
        "self.builder.ashr(", "self.builder.lshr(", _SPECIAL,
    ),
    Planted(
        "nine rounds of Philox", "philox.py",
        "for _ in range(10):", "for _ in range(9):", _BITS,
    ),
    Planted(
        "the upper word of Philox's counter is lost", "philox.py",
        "[block & _LOW, block >> 32, *steps]", "[block & _LOW, block & 0, *steps]", _BITS,
    ),
    Planted(
        "random bits are the lowest of a word", "philox.py",
        "((lanes & _LOW) >> unwanted)", "((lanes << unwanted & _LOW) >> unwanted)", _BITS,
    ),
    Planted(
        "the processor rounds on in the kernel's direction", "natives.py",
        "    write(before)\n", "", _LEFT,
    ),
    Planted(
        "subnormals are flushed as the process does", "natives.py",
        "I64(X86_DEFAULT)", "builder.and_(read(), I64(0x9FC0))", _FLUSHING,
    ),
    Planted(
        "a result past the caches at any address", "kernels.py",
        "and place % 64 == 0 and", "and", _LARGE,
    ),
    Planted(
        "a part's result lies where its source does", "kernels.py",
        "place + a * step_out", "place + a * step_in", _THREADS,
    ),
    Planted(
        "an odd quotient forgets its remainder", "block_codec.py",
        "return inexact.where(below | 1, below)", "return below", _QUOTIENTS,
    ),
    Planted(
        "elements overflow into the code of NaN", "block_codec.py",
        '.call("umin", given["max_code"])', "", _BLOCKS,
    ),
    Planted(
        "the smallest power of two has the bits of zero", "block_codec.py",
        "code.equals(0).where(code.like(1 << 22), code << 23)", "code << 23", _SMALLEST_SCALE,
    ),
    Planted(
        "an infinite block has a scale", "block_codec.py",
        "(maximum >= _INF64).where(code.like(255), code)",
        "(maximum > _INF64).where(code.like(255), code)", _SPECIAL,
    ),
    Planted(
        "a half goes toward zero", "integers.py",
        "np.abs(x - below) >= 0.5", "np.abs(x - below) > 0.5", _TO_INTEGERS,
    ),
    Planted(
        "minus zero among integers", "integers.py", "    whole += 0.0", "    whole += -0.0",
        _TO_INTEGERS,
    ),
    Planted(
        "a 64-bit integer's lowest bits are forgotten", "wide_integers.py",
        "(magnitude >> np.uint64(1)) | (magnitude & np.uint64(1))", "(magnitude >> np.uint64(1))",
        _INTEGERS,
    ),
)  # fmt: skip
