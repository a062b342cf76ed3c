"""Movie-review snippets with human ratings, read from an archive that the user downloads.

The ratings are MIT (C.J. Hutto, 2016); who holds the rights in the sentences is unclear, so halfulp
never ships them. Source: Hutto and Gilbert, VADER: A Parsimonious Rule-based Model for Sentiment
Analysis of Social Media Text (ICWSM 2014).
"""

import contextlib
import hashlib
import io
import tarfile
from pathlib import Path

import numpy as np
import platformdirs

from halfulp.study.examples import Examples
from halfulp.study.files import write_whole

ARCHIVE_SHA256 = "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9"
TEXT_SHA256 = "c8293b0d942e90e223ea2c0955d969040d1a1be514a978b9af0698940bd13350"
ARCHIVE_MEMBER = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
TEXT_MEMBER = "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt"
DOWNLOAD = "pip download --no-binary :all: --no-deps vaderSentiment==3.3.2"

LEAST_RATING = 0.5
"""A snippet whose mean rating (-4 to 4) is nearer to zero than this has no clear label."""


class DataUnavailable(RuntimeError):
    """The text of a task is not on this machine; the message says what to type."""


def read_snippets(split: str, archive: Path | None = None) -> Examples:
    """The snippets of `test` (2,039), `dev` or `train`; label 1 is positive, 0 negative.

    `archive` is the source distribution vaderSentiment-3.3.2.tar.gz; later calls find its text in
    the user's cache folder. The split is by the sha256 of the text.

    Raises:
        DataUnavailable: no archive and no cached text, or either is not the expected file.
    """
    text = cached_text() if archive is None else text_of(archive)
    texts, labels, seen = [], [], set()
    for line in text.decode("utf-8").split("\n"):
        fields = line.rstrip("\r").split("\t")
        if len(fields) != 3 or abs(float(fields[1])) < LEAST_RATING or fields[2] in seen:
            continue
        seen.add(fields[2])
        if split_of(fields[2]) == split:
            texts.append(fields[2])
            labels.append(int(float(fields[1]) > 0))
    return Examples(tuple(texts), np.array(labels, dtype=np.int64))


def split_of(snippet: str) -> str:
    """`test` (a fifth), `dev` (a twentieth) or `train`."""
    number = int.from_bytes(hashlib.sha256(snippet.encode()).digest()[:8], "big") % 20
    return "test" if number % 5 == 0 else "dev" if number == 1 else "train"


def text_of(archive: Path) -> bytes:
    """The snippets in the downloaded archive, read in memory: nothing is unpacked or executed.

    Raises:
        DataUnavailable: the file cannot be read or is another one.
    """
    try:
        packed = archive.read_bytes()
    except OSError as error:
        raise DataUnavailable(f"{archive}: cannot be read ({error}); get it: {DOWNLOAD}") from error
    found = hashlib.sha256(packed).hexdigest()
    if found != ARCHIVE_SHA256:
        raise DataUnavailable(
            f"{archive}: sha256 is {found}, expected {ARCHIVE_SHA256}"
            f" (vaderSentiment-3.3.2.tar.gz); get it: {DOWNLOAD}"
        )
    text = _member(_member(packed, ARCHIVE_MEMBER), TEXT_MEMBER)
    if not _is_text(text):  # cannot happen while the archive's own digest holds
        raise DataUnavailable(f"{archive}: {TEXT_MEMBER} is not the expected text")
    _keep(text)
    return text


def cached_text() -> bytes:
    """The text that an earlier call kept.

    Raises:
        DataUnavailable: there is none, or it was changed.
    """
    path = cache_file()
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        raise DataUnavailable(
            f"the sentiment task needs a text that halfulp does not ship; type: {DOWNLOAD}"
            " and give the file with --archive vaderSentiment-3.3.2.tar.gz"
        ) from None
    except OSError as error:
        raise DataUnavailable(f"{path}: cannot be read ({error}); give --archive again") from error
    if not _is_text(text):
        raise DataUnavailable(f"{path}: was changed (sha256 differs); give --archive again")
    return text


def cache_file() -> Path:
    """Where the text is kept for this user."""
    return platformdirs.user_cache_path("halfulp") / "sentiment" / Path(TEXT_MEMBER).name


def _is_text(text: bytes) -> bool:
    return hashlib.sha256(text).hexdigest() == TEXT_SHA256


def _member(packed: bytes, name: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as archive:
        file = archive.extractfile(name)
        if file is None:
            raise DataUnavailable(f"{name}: not a plain file in the archive")
        return file.read()


def _keep(text: bytes) -> None:
    """Cache `text`; where that fails the next call asks for the archive again, nothing is lost."""
    path = cache_file()
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(path, text)
