"""Number formats: what they are, and how values are rounded to them."""

import sys

from halfulp.dtypes.block_format import (
    BLOCK_FORMATS,
    MXFP4,
    MXFP6_E2M3,
    MXFP6_E3M2,
    MXFP8_E4M3,
    MXFP8_E5M2,
    MXINT8,
    NVFP4,
    BlockFormat,
    ScaleRule,
    parse_block_format,
)
from halfulp.dtypes.blocks import BlockCodes, decode_blocks, encode_blocks, round_to_blocks
from halfulp.dtypes.cast import decode, encode, round_to
from halfulp.dtypes.compatibility import COMPATIBILITY, Compatibility
from halfulp.dtypes.dtype_names import numpy_dtype, torch_dtype
from halfulp.dtypes.format import FloatFormat, Format, Specials
from halfulp.dtypes.formats import (
    BF16,
    E2M1FN,
    E2M3FN,
    E3M2FN,
    E3M4,
    E4M3,
    E4M3B11FNUZ,
    E4M3FN,
    E4M3FNUZ,
    E5M2,
    E5M2FNUZ,
    E8M0FNU,
    FORMATS,
    FP16,
    FP32,
    INT4,
    INT8,
    INT16,
    INT32,
    TF32,
    UINT4,
    UINT8,
    UINT16,
    UINT32,
    UnknownFormat,
    cfp8,
    parse_format,
)
from halfulp.dtypes.int_format import IntFormat
from halfulp.dtypes.packing import pack, unpack
from halfulp.dtypes.random_bits import GivenBits, Philox
from halfulp.dtypes.rounding import NanTo, Overflow, Rounding, Subnormals

__all__ = [
    "BF16",
    "BLOCK_FORMATS",
    "COMPATIBILITY",
    "E2M1FN",
    "E2M3FN",
    "E3M2FN",
    "E3M4",
    "E4M3",
    "E4M3B11FNUZ",
    "E4M3FN",
    "E4M3FNUZ",
    "E5M2",
    "E5M2FNUZ",
    "E8M0FNU",
    "FORMATS",
    "FP16",
    "FP32",
    "INT4",
    "INT8",
    "INT16",
    "INT32",
    "MXFP4",
    "MXFP6_E2M3",
    "MXFP6_E3M2",
    "MXFP8_E4M3",
    "MXFP8_E5M2",
    "MXINT8",
    "NVFP4",
    "TF32",
    "UINT4",
    "UINT8",
    "UINT16",
    "UINT32",
    "BlockCodes",
    "BlockFormat",
    "Compatibility",
    "FloatFormat",
    "Format",
    "GivenBits",
    "IntFormat",
    "NanTo",
    "Overflow",
    "Philox",
    "Rounding",
    "ScaleRule",
    "Specials",
    "Subnormals",
    "UnknownFormat",
    "cfp8",
    "decode",
    "decode_blocks",
    "encode",
    "encode_blocks",
    "numpy_dtype",
    "pack",
    "parse_block_format",
    "parse_format",
    "round_to",
    "round_to_blocks",
    "torch_dtype",
    "unpack",
]

if "hypothesis" in sys.modules:  # else its entry point finds this package when it is imported
    from halfulp.dtypes.hypothesis_types import register

    register()
