"""WordNet 3.0 as training text: synsets, split, WordPiece tokenizer, packed rows."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from benchmarks.accuracy.optimization import write_json

PAD, UNK, CLS, SEP, MASK = range(5)
SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
ORDINARY = len(SPECIAL_TOKENS)
"""The first id that stands for text."""

PARTS_OF_SPEECH = ("noun", "verb", "adj", "adv")
FIRST_NOUN_FILE = 3
"""Number of `noun.Tops` among WordNet's lexicographer files; the nouns are 3 to 28."""


@dataclass(frozen=True, slots=True)
class Synset:
    """One line of a WordNet data file: `key` is part of speech + offset, `gloss` as printed."""

    key: str
    lexicographer_file: int
    lemmas: tuple[str, ...]
    gloss: str

    @property
    def split(self) -> str:
        """`test` (2 %), `dev` (2 %) or `train`, by the hash of the key: no list to ship."""
        number = int.from_bytes(hashlib.sha256(self.key.encode()).digest()[:8], "big") % 100
        return "test" if number < 2 else "dev" if number < 4 else "train"

    @property
    def text(self) -> str:
        """Lemmas and gloss, the unit of the language-model text."""
        return ", ".join(self.lemmas) + " : " + self.gloss


def read_synsets(
    folder: Path, parts_of_speech: Sequence[str] = PARTS_OF_SPEECH
) -> tuple[Synset, ...]:
    """Read the synsets of `data.noun` and so on, in file order.

    Source: wndb(5WN), the format of WordNet's data files.
    """
    synsets = []
    for part in parts_of_speech:
        with (folder / f"data.{part}").open(encoding="latin-1") as lines:
            for line in lines:
                if line.startswith("  "):  # the licence at the head of each file
                    continue
                head, gloss = line.rstrip("\n").split(" | ", 1)
                fields = head.split(" ")
                words = fields[4 : 4 + 2 * int(fields[3], 16) : 2]
                lemmas = tuple(word.split("(")[0].replace("_", " ") for word in words)
                synsets.append(Synset(part + fields[0], int(fields[1]), lemmas, gloss.strip()))
    return tuple(synsets)


def train_tokenizer(texts: Iterable[str], size: int) -> Tokenizer:
    """Train a lower-case WordPiece vocabulary of `size` pieces; a text gets [CLS] and [SEP]."""
    tokenizer = Tokenizer(models.WordPiece(unk_token=SPECIAL_TOKENS[UNK]))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=size, special_tokens=list(SPECIAL_TOKENS), show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", CLS), ("[SEP]", SEP)],
    )
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, folder: Path, longest: int) -> None:
    """Write tokenizer.json and tokenizer_config.json, the second with the longest input."""
    tokenizer.save(str(folder / "tokenizer.json"))
    names = ("pad", "unk", "cls", "sep", "mask")
    settings: dict[str, object] = {
        f"{name}_token": token for name, token in zip(names, SPECIAL_TOKENS, strict=True)
    }
    settings |= {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": longest}
    write_json(folder / "tokenizer_config.json", settings)


def pack(sequences: Iterable[Sequence[int]], length: int) -> np.ndarray:
    """Pack token sequences into full rows `[CLS] a [SEP] b [SEP] ...`, (rows, length) int64.

    A long sequence runs on into the next row; the unfilled last row is dropped.
    """
    rows: list[list[int]] = []
    row = [CLS]
    for sequence in sequences:
        rest = [*sequence, SEP]
        while rest:
            room = length - len(row)
            row, rest = row + rest[:room], rest[room:]
            if len(row) == length:
                rows.append(row)
                row = [CLS]
    return np.array(rows, dtype=np.int64)


def packed_split(
    tokenizer: Tokenizer, synsets: Iterable[Synset], split: str, length: int
) -> np.ndarray:
    """Rows of the text of one split, (rows, length) int64."""
    texts = [synset.text for synset in synsets if synset.split == split]
    return pack((e.ids for e in tokenizer.encode_batch(texts, add_special_tokens=False)), length)
