"""Random calls for the fuzzed guest: mostly nearly right, since what is wholly wrong is refused at the first look."""

from random import Random
from struct import pack, pack_into

from tests.fuzz.guest import CALL, DIALECTS, HEADER, MEMORY, MOST_CALLS, SIZE, functions
from wherry.wasm.wasi.preview1 import HostFunction

PATHS = 0x100
IOVECS = 0x4000
SUBSCRIPTIONS = 0x6000
OUTPUTS = 0x8000

_WORDS = (
    b"file other dir dir/file dir/../file .. ../.. / /etc/passwd ../../etc/passwd . ./ dir/ dir//. link loop "
    b"new new/ a/b/c \xff\xfe\x80 caf\xc3\xa9 nul\0inside ..\\.. dir/link/../x"
)
_NAMES = (*_WORDS.split(b" "), b"", b"x" * 255, b"x" * 256, b"/".join([b"d"] * 500), b"y" * 5000)
# Calls that end the run by right, or make it wait: rarely wanted.
_RARE = ("proc_exit", "proc_raise", "poll_oneoff", "fd_close", "fd_renumber")
_EDGES = (0, 1, 2, 7, SIZE - 8, SIZE - 4, SIZE - 1, SIZE, SIZE + 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF8, 0xFFFFFFFF)
_WIDE = (1 << 63, (1 << 63) - 1, (1 << 64) - 1, 1 << 40, 1 << 32, 1 << 31)
_LONGEST_WAIT = 50_000_000  # nanoseconds


def made(seed: int) -> bytes:
    """The guest's whole stdin for that seed."""
    random = Random(seed)
    memory, names = _memory(random)
    count = random.randrange(1, min(60, MOST_CALLS))
    # Of what is far off one in so many: a trap ends the run, and what comes after it is never called.
    wildness = random.choice((0.0, 0.01, 0.05, 0.3))
    calls = b"".join(_call(random, functions(seed % DIALECTS), wildness, names) for _ in range(count))
    return memory + HEADER.pack(count) + calls


def _memory(random: Random) -> tuple[bytes, list[tuple[int, int]]]:
    """Memory with paths, iovecs and subscriptions in it; and where the paths are."""
    memory = bytearray(random.randbytes(MEMORY)) if random.random() < 0.5 else bytearray(MEMORY)
    names, at = [], PATHS
    for name in random.sample(_NAMES, len(_NAMES)):
        if at + len(name) < IOVECS:
            memory[at : at + len(name)] = name
            names.append((at, len(name)))
            at += len(name) + 1
    for index in range(256):
        pack_into("<II", memory, IOVECS + 8 * index, *_range(random))
    for index in range(32):
        memory[SUBSCRIPTIONS + 48 * index : SUBSCRIPTIONS + 48 * index + 48] = _subscription(random)
    return bytes(memory), names


def _range(random: Random) -> tuple[int, int]:
    """A buffer of an iovec: in memory, over another one, over the iovecs themselves, beyond the end, around it."""
    kind = random.choices(range(12), (1,) * 9 + (0.02,) * 3)[0]
    if kind < 7:
        return random.randrange(OUTPUTS, 0xF000), random.randrange(0x1000)
    if kind < 9:
        return random.randrange(IOVECS, IOVECS + 0x800), random.randrange(0x1000)
    if kind == 9:
        return random.choice(_EDGES), random.choice(_EDGES)
    return random.randrange(1 << 32), random.randrange(1 << 32)


def _subscription(random: Random) -> bytes:
    kind = random.choice((0, 0, 1, 2, random.randrange(256)))
    timeout = random.choice((0, 1, random.randrange(_LONGEST_WAIT)))
    flags = random.choice((0, 0, 1, random.randrange(1 << 16)))
    who = random.choice((0, 1, 2, 3, random.randrange(1 << 32)))
    return pack("<QB7xI4xQQH6x", random.getrandbits(64), kind, who, timeout, 0, flags)


def _call(random: Random, known: tuple[HostFunction, ...], wildness: float, names: list[tuple[int, int]]) -> bytes:
    number = random.randrange(len(known))
    if known[number].name in _RARE and random.random() < 0.7:
        number = next(index for index, each in enumerate(known) if each.name == "path_open")
    function = known[number]
    words = [_word(random, wildness, letter) for letter in function.params]
    if "path" in function.name and random.random() < 0.9:
        _place_paths(random, function.name, words, names)
    if random.random() < 0.6:
        words[:1] = [random.randrange(12)] if words else []
    if (
        function.name in ("fd_read", "fd_write", "fd_pread", "fd_pwrite", "sock_recv", "sock_send")
        and random.random() < 0.8
    ):
        words[1:3] = [IOVECS + 8 * random.randrange(256), random.choice((0, 1, 1, 2, 3, 40, 2000))]
    if function.name == "poll_oneoff":
        words[:3] = [SUBSCRIPTIONS + 48 * random.randrange(32), OUTPUTS, random.randrange(8)]
    return CALL.pack(number, *words, *[0] * (10 - len(words)))


def _place_paths(random: Random, name: str, words: list[int], names: list[tuple[int, int]]) -> None:
    """Put a pointer and a length of a path where the function takes one (the second and third place at least)."""
    starts = {"path_symlink": (0, 3), "path_link": (2, 5), "path_rename": (1, 4)}.get(
        name, (2,) if name in ("path_open", "path_filestat_get", "path_filestat_set_times") else (1,)
    )
    for start in starts:
        words[start : start + 2] = random.choice(names)
    if name == "path_symlink":
        words[2] = 3


def _word(random: Random, wildness: float, letter: str) -> int:
    if random.random() < wildness:
        return random.choice(_EDGES)
    if letter == "I":
        return random.choice((random.randrange(4096), *_WIDE, random.getrandbits(64)))
    return random.choice((random.randrange(16), random.randrange(512), OUTPUTS + random.randrange(0x4000)))
