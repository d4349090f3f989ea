"""What is remembered of a pure function: values that are right, and no more of them than there is room for."""

import tracemalloc

import pytest

from wherry.wire.memo import remembering


def test_what_was_asked_before_is_not_worked_out_again() -> None:
    asked: list[bytes] = []

    def upper(data: bytes) -> bytes:
        asked.append(data)
        return data.upper()

    remembered = remembering(upper)
    assert [remembered(data) for data in (b"a", b"b", b"a", b"a")] == [b"A", b"B", b"A", b"A"]
    assert asked == [b"a", b"b"]


def test_what_is_raised_is_raised_again() -> None:
    remembered = remembering(lambda data: int(data))
    for _ in range(2):
        with pytest.raises(ValueError, match="invalid literal"):
            remembered(b"x")
    assert remembered(b"7") == 7


@pytest.mark.parametrize("size", [8, 512, 100_000])
def test_strangers_cannot_fill_the_memory(size: int) -> None:
    remembered = remembering(lambda data: data + b"!")
    tracemalloc.start()
    for number in range(5_000):
        data = number.to_bytes(8, "big") * (size // 8)
        assert remembered(data) == data + b"!"
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert kept < 512 << 10
