"""The processors, and how `bits.py` is run on each: here, or by qemu-user in its place."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.isa import aarch64
from tests.isa.parts import EVERYWHERE, PARTS
from tests.tree import ROOT

BITS = ROOT / "tests/isa/bits.py"
#: A process that takes longer hangs.
_LIMIT_SECONDS = 1800
#: Under the emulator: what numba would compile for.
_DESCRIBE = """
import json, llvmlite.binding as llvm
print(json.dumps([llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()]))
"""


@dataclass(frozen=True)
class Processor:
    """A processor, and how it is to be had.

    emulator  the command that runs its programs; none for that of the machine
    parts     of the work, in one process
    more      in one more, where all is asked
    """

    name: str
    emulator: tuple[str, ...] = ()
    parts: tuple[str, ...] = PARTS
    more: tuple[str, ...] = ()

    def tell(self, text: str) -> None:
        print(f"{time.strftime('%H:%M:%S')} {self.name}: {text}", flush=True)


PROCESSORS = (
    Processor("native"),
    Processor("Haswell", ("qemu-x86_64", "-cpu", "Haswell")),
    Processor("Nehalem", ("qemu-x86_64", "-cpu", "Nehalem")),
    Processor("aarch64", ("qemu-aarch64",), EVERYWHERE, ("accumulated",)),
)


@dataclass(frozen=True)
class Answer:
    """What `bits.py` found in a process, and how long all took that was needed for it."""

    processor: Processor
    seconds: float
    parts: dict[str, str]
    torch: bool
    as_llvm_names_it: str


@dataclass(frozen=True)
class Place:
    """Where the package's sources lie, its kernels, the weights; and Python for aarch64."""

    folder: Path
    aarch64: Path

    @property
    def packages(self) -> Path:
        return self.folder / "packages"

    @property
    def weights(self) -> Path:
        return self.folder / "weights.npz"

    def settings(self, *before: Path, **more: str) -> dict[str, str]:
        """An environment without anything that chooses code, folders or threads."""
        path = os.pathsep.join(map(str, (*before, self.packages, ROOT)))
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA_", "HALFULP_"))}
        kept |= {"PYTHONPATH": path, "HALFULP_CACHE_DIR": str(self.folder / "kernels")}
        return kept | {"PYTHONDONTWRITEBYTECODE": "1"} | more


def _last_line(
    processor: Processor, command: list[str], settings: Mapping[str, str], *, aloud: bool = True
) -> Any:
    """Run, tell every line but the last, and give that as JSON."""
    with subprocess.Popen(
        command, env=settings, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        clock = threading.Timer(_LIMIT_SECONDS, process.kill)
        clock.start()
        said: list[str] = []
        errors = threading.Thread(target=lambda: said.extend(process.stderr or ()), daemon=True)
        errors.start()
        line = ""
        for line in process.stdout:
            if aloud and not line.startswith(("{", "[")):
                processor.tell(line.strip())
        process.wait()
        clock.cancel()
        errors.join(10)
    if process.returncode:
        # the emulator lacks what the processor has for other purposes, and says so
        told = [one for one in said if "TCG doesn't support" not in one]
        raise RuntimeError(f"{processor.name}: ended with {process.returncode}\n{''.join(told)}")
    return json.loads(line)


def _compile_ahead(processor: Processor, place: Place) -> None:
    """Let the compiler run here, for the processor that the emulator has; there it takes long.

    Kernels are kept by name and features of the processor, so what does not fit is not used there.
    """
    describe = [*processor.emulator, sys.executable, "-c", _DESCRIBE]
    name, features = _last_line(processor, describe, place.settings(), aloud=False)
    processor.tell(f"compiling for {name}")
    settings = place.settings(NUMBA_CPU_NAME=name, NUMBA_CPU_FEATURES=features)
    command = [sys.executable, str(BITS), str(place.weights), *PARTS, "--without-torch"]
    try:
        _last_line(processor, command, settings, aloud=False)
    except RuntimeError:
        processor.tell("this machine cannot run its code: the emulator compiles too")


def answer(processor: Processor, parts: Sequence[str], place: Place) -> Answer:
    """Raises RuntimeError when it does not come to an end."""
    start = time.monotonic()
    command, settings = [*processor.emulator], place.settings()
    if processor.name == "aarch64":
        root = place.aarch64
        command += ["-L", str(root), str(aarch64.python(root))]
        settings = place.settings(root / "site", **aarch64.environment(root))
    else:
        command.append(sys.executable)
        if processor.emulator:
            _compile_ahead(processor, place)
    processor.tell(f"running {', '.join(parts)}")
    found = _last_line(processor, [*command, str(BITS), str(place.weights), *parts], settings)
    seconds = time.monotonic() - start
    return Answer(processor, seconds, found["parts"], found["torch"], found["processor"])
