"""Noun glosses of WordNet 3.0 and the supersense of each: the text of the default task."""

import gzip
import json

import numpy as np

from halfulp.study.artifacts import artifact
from halfulp.study.examples import Examples

SUPERSENSES = (
    *("noun.Tops", "noun.act", "noun.animal", "noun.artifact", "noun.attribute", "noun.body"),
    *("noun.cognition", "noun.communication", "noun.event", "noun.feeling", "noun.food"),
    *("noun.group", "noun.location", "noun.motive", "noun.object", "noun.person"),
    *("noun.phenomenon", "noun.plant", "noun.possession", "noun.process", "noun.quantity"),
    *("noun.relation", "noun.shape", "noun.state", "noun.substance", "noun.time"),
)
"""The lexicographer files of nouns, in WordNet's order. Source: lexnames(5WN), files 03 to 28."""


def read_glosses(split: str) -> Examples:
    """The shipped glosses of `test` (1,636) or `dev` (1,654), labels as indices of SUPERSENSES.

    A synset belongs to a split by the sha256 of part of speech and offset, modulo 100:
    0 and 1 test, 2 and 3 dev, the rest was for training.

    Raises:
        CorruptedModel: the file is not the one that was shipped.
    """
    path = artifact(f"wordnet/{split}.jsonl.gz")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    labels = np.array([SUPERSENSES.index(row["supersense"]) for row in rows], dtype=np.int64)
    return Examples(tuple(row["gloss"] for row in rows), labels)
