"""What is counted of components: every interface that is offered has a word, and memories are told from all else."""

from wherry.wasm import meter
from wherry.wasm.component import counted, wit

MAPS = """\
10000-20000 rw-p 00000000 00:00 0
7f0000000000-7f0002000000 ---p 00000000 00:00 0
7f0002000000-7f0002010000 rw-p 00000000 00:01 9 /memfd:wasm-memory-image (deleted)
7f0002010000-7f0002030000 rw-p 00000000 00:00 0
7f0002030000-7f0106000000 ---p 00000000 00:00 0
7f0106000000-7f0106010000 rw-p 00000000 00:00 0
7f0106010000-7f0208000000 ---p 00000000 00:00 0
7f0300000000-7f0300021000 rw-p 00000000 00:00 0
7f0300021000-7f0304000000 ---p 00000000 00:00 0
7f0400000000-7f0400021000 rw-p 00000000 00:00 0
7f0500000000-7f0700000000 ---p 00000000 00:00 0
7ffff0000000-7ffff0021000 rw-p 00000000 00:00 0 [stack]
"""


def test_each_interface_has_a_word_of_its_own() -> None:
    offered = [name for name, interface in wit.load().items() if interface.functions]
    assert set(offered) <= set(counted.INTERFACES)
    words = [counted.word(name) for name in counted.INTERFACES]
    assert len(set(words)) == len(words)
    assert max(words) < meter.SIZE // 8
    assert counted.word("acme:of/its-own") in words


def test_memories_are_what_lies_before_their_reservation() -> None:
    assert counted.memories(MAPS.splitlines()) == 0x30000 + 0x10000
    assert counted.memories([]) == 0
