"""Compiled kernels: one decorator, and a cache on disk that cannot go stale.

numba's own cache looks at one source file only: a constant or a lane operation changed in another
file would go on giving the old bits. Here the folder's name is a digest of every source that a
kernel can depend on, of the compiler's versions and of the processor, so a change of any of them
starts an empty folder. Cache files are pickles: a folder that others may write to is not used.
"""

import functools
import hashlib
import os
import stat
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding
import numba
import platformdirs
from numba import types
from numba.core import config
from numba.core.ccallback import CFunc

#: Sources that every kernel depends on: this layer.
_FOUNDATION = Path(__file__).parent


class KernelsDisabled(RuntimeError):
    """NUMBA_DISABLE_JIT is set: the kernels exist only as compiled code."""


def _processor() -> str:
    """What numba compiles for: the host's name and features, or those that the environment sets."""
    name = config.CPU_NAME or llvmlite.binding.get_host_cpu_name()
    if config.CPU_FEATURES is not None:
        features = str(config.CPU_FEATURES)
    else:
        features = llvmlite.binding.get_host_cpu_features().flatten()
    return f"{llvmlite.binding.get_process_triple()} {name} {features}"


def has_feature(name: str) -> bool:
    """Whether the processor that numba compiles for has a feature, by LLVM's name.

    Of a processor that the environment names, only what it lists is known.
    """
    if config.CPU_FEATURES:
        return f"+{name}" in config.CPU_FEATURES.split(",")
    if config.CPU_NAME:
        return False
    return bool(llvmlite.binding.get_host_cpu_features().get(name))


@functools.cache
def source_digest(*folders: Path) -> str:
    """Digest of every Python source in `folders`, the compiler's versions and the processor."""
    digest = hashlib.sha256()
    for text in (numba.__version__, llvmlite.__version__, _processor()):
        digest.update(text.encode() + b"\0")
    for folder in folders:
        for source in sorted(folder.glob("*.py")):
            digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    return digest.hexdigest()[:20]


def _base_folder() -> Path:
    given = os.environ.get("HALFULP_CACHE_DIR") or os.environ.get("NUMBA_CACHE_DIR")
    return Path(given) / "halfulp" if given else Path(platformdirs.user_cache_dir("halfulp"))


def _refusal(folder: Path) -> str | None:
    """Why `folder` may not hold compiled code; makes it when it is missing."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        about = folder.lstat()
    except OSError as error:
        return f"{folder} cannot be made or read ({error.strerror})"
    if not stat.S_ISDIR(about.st_mode):
        return f"{folder} is not a folder"
    if hasattr(os, "getuid") and about.st_uid != os.getuid():
        return f"{folder} belongs to another user"
    if about.st_mode & 0o077:
        mode = stat.S_IMODE(about.st_mode)
        return f"{folder} is open to others (mode {mode:04o}); allowed is 0700"
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return f"{folder} is not writable"
    return None


@functools.cache
def _cache() -> tuple[Path | None, str | None]:
    folder = _base_folder() / "kernels"
    # the read-only file system of a container passes the permission bits: try
    refusal = _refusal(folder)
    if refusal is None and os.statvfs(folder).f_flag & os.ST_RDONLY:
        refusal = f"{folder} is on a read-only file system"
    return (None, refusal) if refusal else (folder, None)


def cache_folder() -> Path | None:
    """Where compiled kernels are kept, or None when no folder may be used (see `cache_refusal`).

    `HALFULP_CACHE_DIR` or `NUMBA_CACHE_DIR` choose another place. The folder belongs to the user
    alone (mode 0700).
    """
    return _cache()[0]


def cache_refusal() -> str | None:
    """Why compiled kernels are not kept on disk, or None when they are."""
    return _cache()[1]


@functools.cache
def _warn_not_kept(folder: Path, reason: str | None) -> None:
    """Once for a folder and a reason, however many kernels it is."""
    warnings.warn(
        f"{folder}: compiled kernels could not be kept ({reason});"
        " they are compiled again next time",
        RuntimeWarning,
        stacklevel=2,
    )


def _guard(cache: Any) -> None:
    """Make a full disk or a damaged entry cost a compilation, never a result."""
    load, save = cache.load_overload, cache.save_overload

    def load_overload(signature: Any, context: Any) -> Any:
        try:
            return load(signature, context)
        except Exception:  # a damaged pickle may raise anything: compile again
            return None

    def save_overload(signature: Any, data: Any) -> None:
        try:
            try:
                save(signature, data)
            except OSError:
                raise
            except Exception:  # a damaged index: begin a new one
                cache.flush()
                save(signature, data)
        except OSError as error:
            _warn_not_kept(Path(cache.cache_path).parent, error.strerror)

    cache.load_overload, cache.save_overload = load_overload, save_overload


def _place(function: Callable[..., Any]) -> Path | None:
    """The folder of this function's cache entries; None when there is none to be trusted."""
    folder = cache_folder()
    if folder is None:
        return None
    sources = {_FOUNDATION, Path(function.__code__.co_filename).parent}
    place = folder / source_digest(*sorted(sources))
    return place if _refusal(place) is None else None


def _cached(function: Callable[..., Any], enable: Callable[[], None]) -> bool:
    """Call `enable` while numba's cache points at the function's folder; whether there is one."""
    place = _place(function)
    if place is None:
        return False
    before = config.CACHE_DIR
    config.CACHE_DIR = str(place)
    try:
        enable()
    finally:
        config.CACHE_DIR = before
    return True


def device(function: Callable[..., Any]) -> Any:
    """Compile a function that kernels call; it takes and returns int64."""
    return function if config.DISABLE_JIT else numba.njit(nogil=True)(function)


def direct(function: Callable[..., Any]) -> Any:
    """Compile a function of int64 that Python calls without the interpreter's lock.

    Kept on disk as kernels are. With NUMBA_DISABLE_JIT set, a call raises KernelsDisabled.
    """
    if config.DISABLE_JIT:
        return _disabled
    dispatcher = numba.njit(nogil=True)(function)
    if _cached(function, dispatcher.enable_caching):
        _guard(dispatcher._cache)
    return dispatcher


def _disabled(*arguments: int) -> None:
    raise KernelsDisabled(
        "NUMBA_DISABLE_JIT is set, but halfulp's kernels exist only as compiled code;"
        " unset NUMBA_DISABLE_JIT"
    )


class Kernel:
    """A compiled function of one int64, the address of its arguments.

    Any thread may call it without the interpreter. It is compiled at its first use and kept on
    disk under a digest of all that it depends on.
    """

    def __init__(self, function: Callable[[int], None]) -> None:
        self.function = function
        self.__doc__ = function.__doc__

    @functools.cached_property
    def compiled(self) -> Any:
        """numba's own object, a CFunc.

        Raises KernelsDisabled when NUMBA_DISABLE_JIT is set.
        """
        compiled = self._callback()
        if _cached(self.function, compiled.enable_caching):
            _guard(compiled._cache)
        compiled.compile()
        return compiled

    def _callback(self) -> Any:
        if config.DISABLE_JIT:
            _disabled()
        signature = (types.int64,), types.void
        return CFunc(self.function, signature, locals={}, options={"nogil": True})

    @functools.cached_property
    def address(self) -> int:
        """Where its code begins."""
        return self.compiled.address

    def assembly(self) -> str:
        """The machine code that this processor runs, compiled anew: a cache keeps no text."""
        fresh = self._callback()
        fresh.compile()
        return fresh._library.get_asm_str()


def kernel(function: Callable[[int], None]) -> Kernel:
    """A `Kernel` of a module's own function, run by `halfulp.dtypes.threads.parallel`."""
    return Kernel(function)
