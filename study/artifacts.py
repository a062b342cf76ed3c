"""The data that halfulp ships, each file known by its sha256."""

import hashlib
import json
from functools import cache
from pathlib import Path

DATA = Path(__file__).parent / "data"
MANIFEST = "manifest.json"


class CorruptedModel(ValueError):
    """A file of a model or of its data is not what it should be, or cannot be read."""


def sha256_of(path: Path) -> str:
    """The sha256 of a file, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify(path: Path, expected: str, *, cure: str) -> str:
    """Return the sha256 of `path` if it is `expected`; `cure` ends the message if it is not.

    Raises:
        CorruptedModel: the file is missing, unreadable or another one.
    """
    try:
        found = sha256_of(path)
    except OSError as error:
        raise CorruptedModel(f"{path}: cannot be read ({error}); {cure}") from error
    if found != expected:
        raise CorruptedModel(f"{path}: sha256 is {found}, expected {expected}; {cure}")
    return found


@cache
def manifest(data: Path = DATA) -> dict[str, str]:
    """The sha256 of every shipped file by its path under `study/data`.

    Raises:
        CorruptedModel: the manifest is missing or not a JSON object of strings.
    """
    path = data / MANIFEST
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CorruptedModel(f"{path}: cannot be read ({error}); reinstall halfulp") from error
    if not isinstance(entries, dict) or not all(isinstance(v, str) for v in entries.values()):
        raise CorruptedModel(f"{path}: not an object of sha256 digests; reinstall halfulp")
    return entries


def artifact(name: str, *, data: Path = DATA) -> Path:
    """The path of a shipped file, after its sha256 was checked.

    Raises:
        CorruptedModel: the file is not the one that was shipped.
    """
    entries = manifest(data)
    if name not in entries:
        raise CorruptedModel(f"{data / MANIFEST}: has no entry for {name}; reinstall halfulp")
    verify(data / name, entries[name], cure="reinstall halfulp")
    return data / name


def artifact_folder(name: str, *, data: Path = DATA) -> Path:
    """The path of a shipped folder, after the sha256 of every file in it was checked.

    Raises:
        CorruptedModel: a file of the folder is not the one that was shipped, or there is none.
    """
    files = [entry for entry in manifest(data) if entry.startswith(name + "/")]
    if not files:
        raise CorruptedModel(f"{data / MANIFEST}: has no entry under {name}/; reinstall halfulp")
    for file in files:
        artifact(file, data=data)
    return data / name
