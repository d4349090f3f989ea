"""DNS messages: what is asked is read, what is answered can be read by others, and nonsense does no harm."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.errors import InvalidArgument
from wherry.wire import dns


def question(name: str, kind: int = dns.A, number: int = 7, flags: int = 0x0100, group: int = dns.IN) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label)
    return struct.pack("!HHHHHH", number, flags, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, group)


def test_a_question_is_read() -> None:
    query = dns.parse(question("Web.Front", dns.AAAA))
    assert (query.id, query.name, query.type) == (7, "web.front", dns.AAAA)
    assert dns.parse(question("")).name == ""


def test_what_follows_the_question_is_left_alone() -> None:
    option = b"\0" + struct.pack("!HHIH", 41, 1232, 0, 0)
    message = question("a.b")
    counted = message[:10] + b"\0\1" + message[12:] + option
    assert dns.parse(counted).question == message[12:]


def test_an_answer_repeats_the_question() -> None:
    query = dns.parse(question("web"))
    message = dns.answer(query, [dns.address_record("10.0.0.2"), dns.address_record("10.0.0.3")], ttl=60)
    number, flags, questions, answers, *_ = struct.unpack_from("!HHHHHH", message)
    assert (number, flags, questions, answers) == (7, 0x8180, 1, 2)
    rest = message[12 + len(query.question) :]
    assert struct.unpack_from("!HHHIH4s", rest) == (0xC00C, dns.A, dns.IN, 60, 4, bytes([10, 0, 0, 2]))
    assert len(rest) == 32


def test_too_long_an_answer_says_so() -> None:
    query = dns.parse(question("web"))
    long = dns.answer(query, [dns.address_record("10.0.0.2")] * 40, ttl=60)
    short = dns.fitted(long, query)
    assert struct.unpack_from("!HHHHHH", short)[1:4] == (0x8380, 1, 0)
    assert dns.fitted(long, query, len(long)) == long


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 11,
        question("a")[:-1],
        question("a")[:14],
        question("a", flags=0x8000),
        question("a", flags=0x2800),
        question("a", group=3),
        question("a")[:12] + b"\xc0\x0c" + question("a")[-4:],
        question("a")[:4] + b"\0\2" + question("a")[6:],
        question(".".join(["x" * 60] * 5)),
    ],
)
def test_what_is_no_question(data: bytes) -> None:
    with pytest.raises(InvalidArgument):
        dns.parse(data)
    refused = dns.failure(data, dns.FORMERR)
    assert refused == b"" if len(data) < 2 else refused[:2] == data[:2]


@given(st.binary(max_size=300))
def test_no_bytes_do_harm(data: bytes) -> None:
    try:
        query = dns.parse(data)
    except InvalidArgument:
        assert len(dns.failure(data, dns.SERVFAIL)) in (0, 12)
    else:
        assert dns.parse(dns.answer(query, [], ttl=0)[:2] + b"\0\0" + data[4:]).name == query.name


def test_names_of_addresses() -> None:
    assert dns.reversed_address("2.0.17.172.in-addr.arpa") == "172.17.0.2"
    assert dns.reversed_address("9" + ".0" * 27 + ".0.0.d.f.ip6.arpa") == "fd00::9"
    for other in ("_", "99", "g", "", "+"):
        assert dns.reversed_address(f"{other}{'.0' * 31}.ip6.arpa") == ""
    assert dns.reversed_address("9.ip6.arpa") == ""
    assert dns.address_record("fd00::9") == (dns.AAAA, bytes.fromhex("fd00" + "0" * 26 + "09"))
    for other in ("web", "2.0.17.in-addr.arpa", "x.0.17.172.in-addr.arpa", "1.0.0.0.ip6.arpa", "in-addr.arpa"):
        assert dns.reversed_address(other) == ""
    assert dns.ptr_record("web.front") == (dns.PTR, b"\3web\5front\0")
    with pytest.raises(InvalidArgument):
        dns.ptr_record("web..front")


def test_a_hosts_resolvers() -> None:
    text = "# nameserver 1.1.1.1\nsearch x\nnameserver 192.0.2.1 # ours\nnameserver nonsense\nnameserver fe80::1%eth0\n"
    assert dns.resolv_conf_servers(text) == ["192.0.2.1", "fe80::1%eth0"]
