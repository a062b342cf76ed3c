"""What a bug report needs, and what is missing or broken, with the line that cures it."""

import dataclasses
import json
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import halfulp
from halfulp.dtypes.wording import counted
from halfulp.study.extras import EXTRAS, INSTALL_EXTRAS
from halfulp.study.provenance import (
    LIBRARIES,
    commit,
    cpu_name,
    package_folder,
    usable_cores,
    version,
)
from halfulp.study.result import SCHEMA
from halfulp.study.store import Store, StoreError, default_path

INSTALL_TORCH = (
    "pip install --force-reinstall torch==2.13.0 --index-url CPU, where CPU is the CPU index on"
    " PyTorch's installation page"
)
_VECTOR_UNITS = (
    *("sse4.2", "avx", "avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512vl", "avx512vnni"),
    *("avx512bf16", "avx512fp16", "amx-int8", "amx-bf16"),
    *("neon", "fullfp16", "bf16", "sve", "sve2"),
)
_ENVIRONMENT = (
    *("HALFULP_NUM_THREADS", "HALFULP_CACHE_DIR", "NUMBA_CACHE_DIR", "NUMBA_CPU_NAME"),
    *("NUMBA_CPU_FEATURES", "NUMBA_DISABLE_JIT", "OMP_NUM_THREADS", "MKL_NUM_THREADS"),
    "HF_HUB_OFFLINE",
)


class State(StrEnum):
    """How a check ended."""

    OK = "ok"
    MISSING = "missing"  # optional, and not there
    BROKEN = "broken"


@dataclass(frozen=True)
class Check:
    """One line of the report; `cure` is what to type when the state is not ok."""

    name: str
    value: str
    state: State = State.OK
    cure: str | None = None


def checks(store: Path | None = None) -> Iterator[Check]:
    """All checks, each made when it is asked for; the store is looked at, never made."""
    path = default_path() if store is None else store
    parts: tuple[Callable[[], Iterator[Check]], ...] = (
        _system,
        _libraries,
        _torch,
        _threads,
        _kernels,
        lambda: _store(path),
        _data,
    )
    for part in parts:
        yield from part()


def to_text(made: Sequence[Check]) -> str:
    """A line for each check; what is not ok carries its cure, and a last line sums up."""
    width = max(len(check.name) for check in made)
    lines = []
    for check in made:
        state = "" if check.state is State.OK else f"{check.state.upper()}: "
        lines.append(f"{check.name:<{width}}  {state}{check.value}")
        if check.cure is not None:
            lines.append(f"{'':<{width}}  type: {check.cure}")
    broken = [check.name for check in made if check.state is State.BROKEN]
    lines.append(f"broken: {', '.join(broken)}" if broken else "nothing is broken")
    return "\n".join(lines) + "\n"


def to_json(made: Sequence[Check]) -> str:
    """The same as data."""
    healthy = all(check.state is not State.BROKEN for check in made)
    body = [dataclasses.asdict(check) for check in made]
    return json.dumps({"schema": SCHEMA, "healthy": healthy, "checks": body}, indent=2) + "\n"


def _system() -> Iterator[Check]:
    import llvmlite.binding

    found = commit()
    state = "" if found is None else f", commit {found[0]}{' with changes' if found[1] else ''}"
    yield Check("halfulp", f"{halfulp.__version__}{state} in {package_folder()}")
    yield Check("python", f"{platform.python_version()} ({platform.python_implementation()})")
    yield Check("system", platform.platform())
    yield Check("processor", f"{cpu_name()} ({llvmlite.binding.get_host_cpu_name()})")
    features = llvmlite.binding.get_host_cpu_features()
    units = [unit for unit in _VECTOR_UNITS if features.get(unit)]
    yield Check("vector units", " ".join(units) or "none that halfulp knows")
    given = [f"{name}={os.environ[name]}" for name in _ENVIRONMENT if name in os.environ]
    yield Check("environment", " ".join(given) or "no variable that matters is set")


def _libraries() -> Iterator[Check]:
    for name in LIBRARIES:
        found = version(name)
        if found is not None:
            yield Check(name, found)
        elif name in EXTRAS:
            yield Check(name, "not installed", State.MISSING, INSTALL_EXTRAS)
        else:
            yield Check(name, "not installed", State.BROKEN, f"pip install {name}")


def _torch() -> Iterator[Check]:
    if version("torch") is None:
        return
    try:
        import torch
    except Exception as error:  # a damaged build raises OSError, ImportError or worse
        yield Check("torch build", f"import fails: {error}", State.BROKEN, INSTALL_TORCH)
        return
    yield torch_build(torch.__version__, torch.version.cuda, gpu=torch.cuda.is_available())
    yield Check("torch threads", str(torch.get_num_threads()))


def torch_build(name: str, cuda: str | None, *, gpu: bool) -> Check:
    """The build of torch: one for CUDA on a machine without a GPU is gigabytes for nothing."""
    if cuda is None:
        return Check("torch build", f"{name}, for CPUs")
    if gpu:
        return Check("torch build", f"{name}, for CUDA {cuda}; the GPU is not used")
    value = f"{name} is built for CUDA {cuda}, and there is no GPU"
    return Check("torch build", value, State.BROKEN, INSTALL_TORCH)


def _threads() -> Iterator[Check]:
    from halfulp.dtypes.threads import get_num_threads

    cores = f"{usable_cores()} of {counted(os.cpu_count() or 1, 'core')} usable"
    try:
        yield Check("threads", f"{get_num_threads()}, {cores}")
    except ValueError as error:
        yield Check("threads", f"{error}; {cores}", State.BROKEN, "unset HALFULP_NUM_THREADS")


def _kernels() -> Iterator[Check]:
    from halfulp.dtypes import jit

    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        value = "NUMBA_DISABLE_JIT is set, and the kernels exist only as compiled code"
        yield Check("kernels", value, State.BROKEN, "unset NUMBA_DISABLE_JIT")
    folder, refusal = jit.cache_folder(), jit.cache_refusal()
    if folder is not None:
        yield Check("kernel cache", str(folder))
    else:
        value = f"not used, each process compiles anew: {refusal}"
        cure = "export HALFULP_CACHE_DIR=FOLDER, a folder of yours with mode 0700"
        yield Check("kernel cache", value, State.MISSING, cure)


def _store(path: Path) -> Iterator[Check]:
    if not path.exists():
        yield Check("store", f"{path}, not made yet")
        return
    try:
        with Store(path) as store:
            yield Check("store", f"{path}, {counted(len(store), 'finished cell')}")
    except StoreError as error:
        cure = "halfulp sweep --store FILE, another file"
        yield Check("store", str(error), State.BROKEN, cure)


def _data() -> Iterator[Check]:
    try:
        from halfulp.study.artifacts import CorruptedModel, artifact, manifest
        from halfulp.study.folders import ModelUnavailable
        from halfulp.study.models import minilm_folder
    except ModuleNotFoundError:
        return  # the missing library has its own line
    try:
        files = [artifact(name) for name in manifest()]
        yield Check("shipped data", f"{len(files)} files, every sha256 as it should be")
    except CorruptedModel as error:
        cure = "pip install --force-reinstall halfulp"
        yield Check("shipped data", str(error), State.BROKEN, cure)
    try:
        yield Check("minilm", f"{minilm_folder().path}, sha256 as it should be")
    except ModelUnavailable as error:
        yield Check("minilm", str(error), State.MISSING)
    except CorruptedModel as error:
        yield Check("minilm", str(error), State.BROKEN)
