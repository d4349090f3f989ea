"""The keys that let go of a container: ``ctrl-p,ctrl-q`` as text, and finding them in what is typed. Pure."""

from wherry.errors import InvalidArgument

DEFAULT = "ctrl-p,ctrl-q"
_CONTROL = {
    **{chr(c): c - 96 for c in range(ord("a"), ord("z") + 1)},
    "@": 0,
    "[": 27,
    "\\": 28,
    "]": 29,
    "^": 30,
    "_": 31,
}


def parse_keys(text: str) -> bytes:
    """The bytes that a sequence such as ``ctrl-a,x`` makes. InvalidArgument names the key that is none."""
    keys = bytearray()
    for word in text.split(",") if text else ():
        name = word.removeprefix("ctrl-") if word.startswith("ctrl-") else ""
        if name in _CONTROL:
            keys.append(_CONTROL[name])
        elif len(word) == 1 and word.isascii():
            keys += word.encode()
        else:
            raise InvalidArgument(f"invalid detach keys ({text}): {word!r} is neither a character nor ctrl-LETTER")
    return bytes(keys)


def checked_keys(_context: object, _option: object, text: str | None) -> str | None:
    """An option's text, looked at before anything is begun; as click calls it. InvalidArgument."""
    if text is not None:
        parse_keys(text)
    return text


class DetachMatcher:
    """Holds back what may be the beginning of the keys; an empty sequence never matches."""

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._matched = 0
        self.detached = False

    def feed(self, typed: bytes) -> bytes:
        """What of it goes to the container. Once ``detached`` is set nothing more does."""
        passed = bytearray()
        for key in typed:
            if not self._keys or self.detached:
                return bytes(passed) + (b"" if self.detached else typed)
            if key == self._keys[self._matched]:
                self._matched += 1
                self.detached = self._matched == len(self._keys)
                continue
            passed += self._keys[: self._matched]
            self._matched = 1 if key == self._keys[0] else 0
            if not self._matched:
                passed.append(key)
        return bytes(passed)
