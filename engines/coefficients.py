"""Coefficients of the functions' polynomials, ascending powers: a fact is a value in this table.

Chebyshev fits of `mpmath.chebyfit` with 60 digits, rounded to float64. The largest relative error
of each, against many digits, is tested (tests/engines/test_coefficients.py): below 2^-53 where
nothing else is said.
"""


def _table(*numbers: str) -> tuple[float, ...]:
    return tuple(map(float.fromhex, numbers))


#: e^r for |r| <= ln(2) / 2
EXP = _table(
    "0x1.0000000000000p+0", "0x1.0000000000000p+0", "0x1.0000000000011p-1",
    "0x1.555555555555ap-3", "0x1.555555554f0bap-5", "0x1.111111110f21ep-7",
    "0x1.6c16c1880029fp-10", "0x1.a01a01b1461c5p-13", "0x1.a01991a10d9aep-16",
    "0x1.71ddf56d8deb5p-19", "0x1.28b4101c77212p-22", "0x1.af632a0f7e2cep-26",
)  # fmt: skip
#: 2^r for |r| <= 1/2
EXP2 = _table(
    "0x1.0000000000000p+0", "0x1.62e42fefa39efp-1", "0x1.ebfbdff82c5afp-3",
    "0x1.c6b08d704a0c6p-5", "0x1.3b2ab6fb9f17fp-7", "0x1.5d87fe78a3f8cp-10",
    "0x1.4309131133fe4p-13", "0x1.ffcbfc6dad6adp-17", "0x1.62bfc2b4dbc3ep-20",
    "0x1.b524ebc089f66p-24", "0x1.e622ad9593e67p-28", "0x1.e9ec3d7558475p-32",
)  # fmt: skip
#: (2 artanh(s) / s - 2) / z in z = s^2, for |s| <= (sqrt(2) - 1) / (sqrt(2) + 1)
LOG = _table(
    "0x1.5555555555555p-1", "0x1.9999999999a38p-2", "0x1.2492492476c87p-2",
    "0x1.c71c720160b47p-3", "0x1.745cf901605f7p-3", "0x1.3b1c360763b8ap-3",
    "0x1.0fbe83c2cbcf3p-3", "0x1.0c04595972ab8p-3",
)  # fmt: skip
#: (sin(r) / r - 1) / z in z = r^2, for |r| <= pi / 4
SIN = _table(
    "-0x1.5555555555555p-3", "0x1.1111111111110p-7", "-0x1.a01a01a019936p-13",
    "0x1.71de3a54605eep-19", "-0x1.ae64541266378p-26", "0x1.61217ec01749dp-33",
    "-0x1.ab17a79237a19p-41",
)  # fmt: skip
#: ((cos(r) - 1) / z + 1/2) / z in z = r^2, for |r| <= pi / 4
COS = _table(
    "0x1.5555555555555p-5", "-0x1.6c16c16c16966p-10", "0x1.a01a019f4e867p-16",
    "-0x1.27e4fa17a41b4p-22", "0x1.1eeb68b109173p-29", "-0x1.907d7aebd5e3dp-37",
)  # fmt: skip
#: (arctan(t) / t - 1) / z in z = t^2, for |t| <= sqrt(2) - 1
ARCTAN = _table(
    "-0x1.5555555555555p-2", "0x1.9999999999953p-3", "-0x1.249249248d7cap-3",
    "0x1.c71c71c30300bp-4", "-0x1.745d165d9ee17p-4", "0x1.3b1392d04b71cp-4",
    "-0x1.110e875de57ebp-4", "0x1.e19a0439b3b4bp-5", "-0x1.ac7a216389ddfp-5",
    "0x1.74dbcb5c2167ap-5", "-0x1.1b2e7e3386b79p-5", "0x1.0ac7d2dc4c828p-6",
)  # fmt: skip
#: erf(x) / x in t = x^2 / 8 - 1, for |x| <= 4
ERF = _table(
    "0x1.6a040781a499cp-2", "-0x1.69a0ccda3df49p-3", "0x1.0dabaf0613e8dp-3",
    "-0x1.b92e95c193640p-4", "0x1.717efc78425c5p-4", "-0x1.3215d8b744da7p-4",
    "0x1.ea97f14be2bbdp-5", "-0x1.76e8649c14dcap-5", "0x1.0ed52bfb795c8p-5",
    "-0x1.7034f9aff117fp-6", "0x1.d6352a39bf7dbp-7", "-0x1.1a023df9bc5e5p-7",
    "0x1.3e1509a1ccc3cp-8", "-0x1.51ee66ded0babp-9", "0x1.52da2658a8f46p-10",
    "-0x1.4160b99ff5de9p-11", "0x1.20e993e054bc3p-12", "-0x1.ed84c28ce1f10p-14",
    "0x1.918e9e414c51cp-15", "-0x1.3751a9ad85883p-16", "0x1.ca56c5fd74ca6p-18",
    "-0x1.45b15e2e22ccfp-19", "0x1.cf7763b981e02p-21", "-0x1.2c32d97528c12p-22",
    "0x1.206657bbcb353p-24", "-0x1.6abfd6b1d956cp-26", "0x1.b7528039e647ep-27",
    "-0x1.de87416b3ec30p-29",
)  # fmt: skip
#: Phi(-a) e^(a^2 / 2) in t = (a - 3) / (a + 3), for 0 <= a <= 15
TAIL = _table(
    "0x1.f1b89c231e9b8p-4", "-0x1.a6b669a315453p-3", "0x1.f8bab9ba7d86fp-4",
    "-0x1.7a94a515d0fc2p-5", "0x1.91f4b344cb572p-8", "0x1.7ce2514b87b7ap-9",
    "-0x1.03be060bcfe76p-10", "-0x1.6a5b47c86c1c5p-12", "0x1.13dd317c9b0b9p-13",
    "0x1.1f49edb30513bp-14", "-0x1.a6afc846b2301p-17", "-0x1.016a97971cfffp-16",
    "-0x1.4ce70ba7828d3p-20", "0x1.802ccefc42690p-19", "0x1.3ff5fadb3d017p-20",
    "-0x1.f23c197f7d211p-23", "-0x1.9097087f57c58p-22", "-0x1.9faeb5f6f3a89p-24",
    "0x1.bf683cfa0d780p-25", "0x1.96c159150a80ap-25", "0x1.156c6efc13b2cp-27",
    "-0x1.e0baa524f23b9p-28", "-0x1.2926572d8765ap-28", "-0x1.ace39549cce2dp-31",
)  # fmt: skip
#: e^r for |r| <= ln(2) / 2, to 2^-39
QUICK_EXP = _table(
    "0x1.0000000000000p+0", "0x1.ffffffffd382fp-1", "0x1.fffffffff71b2p-2",
    "0x1.555555a279c87p-3", "0x1.555555742d965p-5", "0x1.1110809f385f6p-7",
    "0x1.6c164de86dafdp-10", "0x1.a1aa939e677aep-13", "0x1.a15a600528a0fp-16",
)  # fmt: skip
#: (e^r - 1) / r for |r| <= ln(2) / 2, to 2^-43
QUICK_EXPM1 = _table(
    "0x1.0000000000000p+0", "0x1.fffffffff71b2p-2", "0x1.5555555553b78p-3",
    "0x1.555555742d965p-5", "0x1.1111111c478ebp-7", "0x1.6c164de86dafdp-10",
    "0x1.a019ada3609f3p-13", "0x1.a15a600528a0fp-16", "0x1.72c72ca338df0p-19",
)  # fmt: skip
#: erf(x) / x in t = x^2 / (63^2 / 512) - 1, for |x| <= 63 / 16, to 2^-39
QUICK_ERF = _table(
    "0x1.6fc14a09a6ae4p-2", "-0x1.6f4220075233dp-3", "0x1.1184b56e73c35p-3",
    "-0x1.bde9f77617117p-4", "0x1.72e440c94cf08p-4", "-0x1.2fe7f718b87e7p-4",
    "0x1.dfe8b68554bdcp-5", "-0x1.681479a958d8bp-5", "0x1.fd5d0333f5b7cp-6",
    "-0x1.52418917d33fcp-6", "0x1.a533ee5375f0dp-7", "-0x1.ec28e53c7ed0bp-8",
    "0x1.0e8d86ee4b7aep-8", "-0x1.174d7b3df6739p-9", "0x1.0ca8c653573d9p-10",
    "-0x1.f102579512194p-12", "0x1.d3998974508efp-13", "-0x1.7d1e2763e7cd2p-14",
    "0x1.8fb591cd39a69p-16", "-0x1.4480cdfccdf7cp-17", "0x1.1eff86a38dd4ep-17",
    "-0x1.7895e10d978dep-19",
)  # fmt: skip
#: erf(x) / x in t = x^2 / 8 - 1, for |x| <= 4, to 2^-49
HALF_ERF = _table(
    "0x1.6a040781a49a3p-2", "-0x1.69a0ccda3df4dp-3", "0x1.0dabaf0612cb5p-3",
    "-0x1.b92e95c192c86p-4", "0x1.717efc78bf8e5p-4", "-0x1.3215d8b766f92p-4",
    "0x1.ea97f13653002p-5", "-0x1.76e8649634bccp-5", "0x1.0ed52cf253d9bp-5",
    "-0x1.7034fa3676533p-6", "0x1.d6350ff4d130dp-7", "-0x1.1a0236d191216p-7",
    "0x1.3e15ef35e9529p-8", "-0x1.51eee3f4597ecp-9", "0x1.52cfa6b12824cp-10",
    "-0x1.415b01636b734p-11", "0x1.213da94a8049fp-12", "-0x1.ede05f12ae17dp-14",
    "0x1.8df26812e5ea9p-15", "-0x1.355a379ed8e4fp-16", "0x1.e51e035303f63p-18",
    "-0x1.544768c92e820p-19", "0x1.4f60f4ae0626dp-21", "-0x1.ccddb84677025p-23",
    "0x1.428c0fad8f0c0p-23", "-0x1.77a580a4052e7p-25",
)  # fmt: skip
