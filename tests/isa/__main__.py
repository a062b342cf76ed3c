"""`make isa`: one hash of casts, matmuls and a forward on four processors, three of them emulated.

`python -m tests.isa [--fresh] [--all]`; `--fresh` compiles every kernel anew, `--all` asks for sums
that the emulated compiler needs ten minutes more for. Ends with 1 when two differ.
"""

import hashlib
import platform
import shutil
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from tests.isa import aarch64
from tests.isa.parts import EVERYWHERE
from tests.isa.processors import PROCESSORS, Answer, Place, answer
from tests.quant.tiny import inputs, tiny
from tests.tree import ROOT

#: Programs, and the Debian packages that have them.
NEEDED = {
    "qemu-x86_64": "qemu-user",
    "qemu-aarch64": "qemu-user",
    "apt-get": "apt",
    "dpkg-deb": "dpkg",
}
#: At once: each runs on one core for the most part.
PROCESSES = 2


def refuse_without_programs() -> None:
    missing = {package for name, package in NEEDED.items() if shutil.which(name) is None}
    if missing:
        packages = " ".join(sorted(missing))
        raise SystemExit(f"missing: {packages}; on Debian: apt-get install {packages}")
    if platform.machine() != "x86_64":
        raise SystemExit(f"make isa needs an x86-64 machine, not {platform.machine()}")


def lay_out(place: Place, *, fresh: bool) -> None:
    """One state of the sources and of the model's weights for all processors."""
    if fresh:
        shutil.rmtree(place.folder / "kernels", ignore_errors=True)
    shutil.rmtree(place.packages, ignore_errors=True)
    package = place.packages / "halfulp"
    package.mkdir(parents=True)
    # times of files too: kernels that were kept ask for them
    for layer in ("dtypes", "engines", "quant"):
        shutil.copytree(ROOT / layer, package / layer, ignore=shutil.ignore_patterns("__pycache__"))
    for source in (ROOT / "src/halfulp").glob("*.py"):
        shutil.copy2(source, package)
    given = {name: value.numpy() for name, value in inputs().items()}
    weights = {n: value.detach().numpy() for n, value in tiny("BertModel").named_parameters()}
    np.savez(place.weights, allow_pickle=False, **weights, **given)


@dataclass(frozen=True)
class Row:
    """All that was found on a processor."""

    name: str
    as_llvm_names_it: str
    seconds: float
    parts: dict[str, str]
    torch: bool

    @property
    def hash(self) -> str:
        return hashlib.sha256("".join(self.parts[name] for name in EVERYWHERE).encode()).hexdigest()


def joined(answers: Sequence[Answer]) -> Row:
    """What the processes of one processor found."""
    parts = {name: digest for one in answers for name, digest in one.parts.items()}
    first, seconds = answers[0], sum(one.seconds for one in answers)
    torch = any(one.torch for one in answers)
    return Row(first.processor.name, first.as_llvm_names_it, seconds, parts, torch)


def table(rows: Sequence[Row]) -> str:
    lines = [
        f"{'processor':9} {'LLVM says':15} {'hash':16} {'other sums':10} {'seconds':>7}  forward"
    ]
    for row in rows:
        sums = row.parts.get("accumulated", "--all")[:8]
        forward = "by torch and by engines" if row.torch else "by engines, without torch"
        start = f"{row.name:9} {row.as_llvm_names_it:15} {row.hash[:16]} {sums:10}"
        lines.append(f"{start} {row.seconds:7.0f}  {forward}")
    return "\n".join(lines)


def differences(rows: Sequence[Row]) -> list[str]:
    """Each part in which a processor differs from the first."""
    first, *others = rows
    return [
        f"{other.name} differs from {first.name}: {part}"
        for other in others
        for part, digest in other.parts.items()
        if digest != first.parts[part]
    ]


def run(place: Place, *, everything: bool) -> list[Row]:
    # the slowest begins first
    jobs = [(one, one.more) for one in PROCESSORS if everything and one.more]
    jobs += [(one, one.parts) for one in reversed(PROCESSORS)]
    with ThreadPoolExecutor(PROCESSES) as pool:
        waiting = [pool.submit(answer, one, parts, place) for one, parts in jobs]
        answers = [job.result() for job in waiting]
    return [joined([a for a in answers if a.processor == one]) for one in PROCESSORS]


def main(arguments: Sequence[str]) -> int:
    unknown = set(arguments) - {"--fresh", "--all"}
    if unknown:
        raise SystemExit(f"unknown: {' '.join(sorted(unknown))}; allowed: --fresh, --all")
    refuse_without_programs()
    folder = ROOT / "build/isa"
    place = Place(folder, aarch64.prepared(folder))
    lay_out(place, fresh="--fresh" in arguments)
    start = time.monotonic()  # what is fetched once does not count
    rows = run(place, everything="--all" in arguments)
    print(table(rows))
    found = differences(rows)
    print("\n".join(found) or f"{len(rows)} equal, {time.monotonic() - start:.0f} s in all")
    return 1 if found else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except RuntimeError as error:
        sys.exit(str(error))
