"""Fields of protobuf messages, as they are written.

Source: the encoding guide of Protocol Buffers ("Base 128 Varints", "Message Structure").
"""

_VARINT, _LENGTH_DELIMITED = 0, 2


def varint(value: int) -> bytes:
    """`value` in groups of seven bits, the lowest first; every byte but the last has its high bit.

    Raises ValueError for a value outside of 0 to 2^64 - 1.
    """
    if not 0 <= value < 1 << 64:
        raise ValueError(f"{value} is no unsigned integer of 64 bits")
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def field(number: int, value: int | str | bytes) -> bytes:
    """A field of a message: an unsigned integer, a text, or the bytes of a message in it.

    Raises ValueError for integers as `varint` does, and for a text that is not UTF-8.
    """
    if isinstance(value, int):
        return varint(number << 3 | _VARINT) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | _LENGTH_DELIMITED) + varint(len(data)) + data
