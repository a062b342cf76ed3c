"""What the conformance kit finds in other casts: prints the table of docs/conformance.md.

`python docs/peers.py [PACKAGE ...]`. Packages that are not installed are left out;
`pip install gfloat apytypes qtorch ninja pychop` brings four more than halfulp does.
"""

import argparse
import importlib
import importlib.util
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np

from halfulp.dtypes.conformance import Report, check_cast

Cast = Callable[[Any], Any]
COLUMNS = ("package", "version", "format", "source", "law", "wrong", "smallest input", "got", "due")


@dataclass(frozen=True)
class Peer:
    """A cast of a library to a format; `overflow` as the library documents or shows it."""

    package: str
    fmt: str
    make: Callable[[], Cast]
    sources: tuple[str, ...] = ("float32", "float64")
    overflow: str = "inf"
    rounding: str = "nearest_even"


def _imported(module: str) -> Any:
    """Of libraries that need not be installed where this is type-checked."""
    return importlib.import_module(module)


def _ml_dtypes(name: str) -> Callable[[], Cast]:
    def make() -> Cast:
        import ml_dtypes

        return lambda x: x.astype(getattr(ml_dtypes, name))

    return make


def _torch(name: str) -> Callable[[], Cast]:
    def make() -> Cast:
        import torch

        dtype = getattr(torch, name)
        return lambda x: torch.from_numpy(x).to(dtype).to(torch.float64).numpy()

    return make


def _gfloat(name: str) -> Callable[[], Cast]:
    def make() -> Cast:
        gfloat = _imported("gfloat")
        info = getattr(_imported("gfloat.formats"), f"format_info_{name}")
        return lambda x: gfloat.round_ndarray(info, x.astype(np.float64))

    return make


def _apytypes(exponent_bits: int, mantissa_bits: int) -> Callable[[], Cast]:
    def make() -> Cast:
        read = _imported("apytypes").APyFloatArray.from_array
        return lambda x: read(x, exponent_bits, mantissa_bits).to_numpy()

    return make


def _qtorch(exponent_bits: int, mantissa_bits: int) -> Callable[[], Cast]:
    def make() -> Cast:
        import torch

        float_quantize = _imported("qtorch.quant").float_quantize

        def cast(x: Any) -> Any:
            tensor = torch.from_numpy(x)
            return float_quantize(tensor, exponent_bits, mantissa_bits, "nearest").numpy()

        return cast

    return make


def _pychop(exponent_bits: int, mantissa_bits: int) -> Callable[[], Cast]:
    def make() -> Cast:
        chop = _imported("pychop").Chop(exponent_bits, mantissa_bits)
        return lambda x: np.asarray(chop(x))

    return make


PEERS: tuple[Peer, ...] = (
    Peer("ml_dtypes", "bf16", _ml_dtypes("bfloat16")),
    Peer("ml_dtypes", "e5m2", _ml_dtypes("float8_e5m2")),
    Peer("ml_dtypes", "e4m3", _ml_dtypes("float8_e4m3")),
    Peer("ml_dtypes", "e3m4", _ml_dtypes("float8_e3m4")),
    Peer("ml_dtypes", "e4m3fn", _ml_dtypes("float8_e4m3fn")),
    Peer("ml_dtypes", "e4m3fnuz", _ml_dtypes("float8_e4m3fnuz")),
    Peer("ml_dtypes", "e8m0fnu", _ml_dtypes("float8_e8m0fnu")),
    Peer("ml_dtypes", "e2m1fn", _ml_dtypes("float4_e2m1fn")),
    Peer("torch", "bf16", _torch("bfloat16")),
    Peer("torch", "fp16", _torch("float16")),
    Peer("torch", "e5m2", _torch("float8_e5m2")),
    Peer("torch", "e4m3fn", _torch("float8_e4m3fn"), overflow="torch"),
    Peer("torch", "e4m3fnuz", _torch("float8_e4m3fnuz")),
    Peer("torch", "e8m0fnu", _torch("float8_e8m0fnu")),
    Peer("gfloat", "bf16", _gfloat("bfloat16")),
    Peer("gfloat", "e5m2", _gfloat("ocp_e5m2")),
    Peer("gfloat", "e4m3fn", _gfloat("ocp_e4m3")),
    Peer("gfloat", "e3m2fn", _gfloat("ocp_e3m2")),
    Peer("gfloat", "e2m1fn", _gfloat("ocp_e2m1")),
    Peer("apytypes", "bf16", _apytypes(8, 7)),
    Peer("apytypes", "e5m2", _apytypes(5, 2)),
    Peer("apytypes", "e4m3", _apytypes(4, 3)),
    Peer("apytypes", "e3m4", _apytypes(3, 4)),
    Peer("qtorch", "bf16", _qtorch(8, 7)),
    Peer("qtorch", "e5m2", _qtorch(5, 2)),
    Peer("qtorch", "e4m3", _qtorch(4, 3)),
    Peer("pychop", "bf16", _pychop(8, 7)),
    Peer("pychop", "fp16", _pychop(5, 10)),
    Peer("pychop", "e5m2", _pychop(5, 2)),
    Peer("pychop", "e4m3", _pychop(4, 3)),
    Peer("pychop", "e3m4", _pychop(3, 4)),
)


def reports(peer: Peer) -> Iterator[Report]:
    """The verdicts on a cast, one for each of its sources."""
    cast = peer.make()
    for source in peer.sources:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield check_cast(cast, peer.fmt, peer.rounding, source, overflow=peer.overflow)


def rows(peer: Peer) -> Iterator[tuple[str, ...]]:
    """A row for each broken law, or one for a cast that keeps them all."""
    for report in reports(peer):
        head = (peer.package, version(peer.package), peer.fmt, report.source)
        if report.ok:
            yield (*head, "all hold", "0", "", "", "")
        for law in report.laws:
            if law.wrong:
                yield (*head, law.name, f"{law.wrong:,}", law.input, law.got, law.wanted)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("package", nargs="*", help="default: every one that is installed")
    asked = parser.parse_args().package
    lines = [COLUMNS, tuple("--:" if name == "wrong" else "---" for name in COLUMNS)]
    for peer in PEERS:
        if asked and peer.package not in asked:
            continue
        if importlib.util.find_spec(peer.package) is not None:
            lines += rows(peer)
    print("\n".join(f"| {' | '.join(cell or '-' for cell in line)} |" for line in lines))


if __name__ == "__main__":
    main()
