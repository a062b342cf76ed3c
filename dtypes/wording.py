"""Words of messages that a number or a name decides: one class, two classes; an int, a str."""

_LONG_ENDINGS = ("s", "x", "ch", "sh")
_SPOKEN_WITH_A_VOWEL = ("a", "e", "i", "o", "nd")  # an ndarray, but a uint8


def counted(count: int, thing: str) -> str:
    """`count` and the noun in its number: "1 class", "2 classes", "1,636 samples"."""
    if count == 1:
        return f"1 {thing}"
    return f"{count:,} {thing}{'es' if thing.endswith(_LONG_ENDINGS) else 's'}"


def are(count: int) -> str:
    """The verb for so many: "is", "are"."""
    return "is" if count == 1 else "are"


def kind_of(value: object) -> str:
    """The type of a value with its article: "an int", "a str"."""
    name = type(value).__name__
    return f"{'an' if name.lower().startswith(_SPOKEN_WITH_A_VOWEL) else 'a'} {name}"
