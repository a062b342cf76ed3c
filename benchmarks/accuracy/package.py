"""Put the trained models and the task texts into study/data, and write its manifest.

    python -m benchmarks.accuracy.package --wordnet FOLDER --classifier FOLDER --detector FOLDER \\
        --heads FOLDER

The folders are the outputs of train_supersense, train_detector and fit_heads. Without any option
only the manifest is written anew, as is due after a change of a model card.
"""

import argparse
import gzip
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.accuracy.corpus import FIRST_NOUN_FILE, read_synsets
from benchmarks.accuracy.optimization import write_json
from halfulp.study.artifacts import MANIFEST, sha256_of
from halfulp.study.files import write_whole
from halfulp.study.wordnet import SUPERSENSES

DATA = Path(__file__).parents[2] / "study" / "data"
MODEL_FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
FROZEN_FILES = ("test.safetensors", "dev.safetensors")
HEADS = ("minilm-supersense", "minilm-sentiment")


def glosses(wordnet: Path, split: str) -> bytes:
    """The noun glosses of a split as gzipped JSON lines; equal text gives equal bytes."""
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=packed, compresslevel=9, mtime=0) as file:
        for synset in read_synsets(wordnet, ["noun"]):
            if synset.split == split:
                row = {
                    "synset": synset.key,
                    "supersense": SUPERSENSES[synset.lexicographer_file - FIRST_NOUN_FILE],
                    "gloss": synset.gloss,
                }
                file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
    return packed.getvalue()


def copies(arguments: argparse.Namespace) -> Iterator[tuple[str, Path]]:
    """(name under study/data, where it was made) of every file that is copied."""
    if arguments.classifier is not None:
        for file in MODEL_FILES:
            yield f"electra-supersense/{file}", arguments.classifier / file
    if arguments.detector is not None:
        for file in MODEL_FILES:
            yield f"electra-detector/{file}", arguments.detector / file
        for file in FROZEN_FILES:
            yield f"detection/{file}", arguments.detector / file
    if arguments.heads is not None:
        for head in HEADS:
            yield f"{head}/head.safetensors", arguments.heads / head / "head.safetensors"


def main(argv: list[str]) -> None:
    """Read the options, copy, and list every file with its sha256."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wordnet", type=Path, help="folder with data.noun ...")
    parser.add_argument("--classifier", type=Path, help="output of train_supersense")
    parser.add_argument("--detector", type=Path, help="output of train_detector")
    parser.add_argument("--heads", type=Path, help="output of fit_heads, both heads")
    arguments = parser.parse_args(argv)
    for name, source in copies(arguments):
        write_whole(DATA / name, source.read_bytes())
    if arguments.wordnet is not None:
        for split in ("test", "dev"):
            write_whole(DATA / f"wordnet/{split}.jsonl.gz", glosses(arguments.wordnet, split))
    files = sorted(p.relative_to(DATA).as_posix() for p in DATA.rglob("*") if p.is_file())
    write_json(DATA / MANIFEST, {f: sha256_of(DATA / f) for f in files if f != MANIFEST})
    print(f"{len(files)} files, {sum((DATA / f).stat().st_size for f in files)} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
