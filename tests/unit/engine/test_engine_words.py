"""The engine's pure parts: names, signals, times, patterns, filters, states, restart policies, runtimes."""

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.engine import filters, names, runtimes, signals, states, times
from wherry.engine.patterns import search
from wherry.engine.restart import BackOff, RestartPolicy
from wherry.errors import AlreadyExists, Conflict, InvalidArgument, NotModified

SECOND = 1_000_000_000


@pytest.mark.parametrize("name", ["w", "a", "ab", "/ab", "a.b_c-9", "A" * 255])
def test_valid_names(name: str) -> None:
    assert names.check(name) == name.removeprefix("/")


@pytest.mark.parametrize("name", ["", "-", "-ab", "a b", "ab\n", "ä" * 4, "a/b", "//ab", "A" * 256, "a" * 100_000])
def test_invalid_names(name: str) -> None:
    with pytest.raises(InvalidArgument, match="only \\[a-zA-Z0-9\\]") as caught:
        names.check(name)
    assert len(str(caught.value)) < 250


def test_invented_names_are_valid_and_free() -> None:
    rng, seen = random.Random(1), set[str]()
    for _ in range(2000):
        name = names.invent(rng, seen.__contains__)
        assert names.check(name) == name
        assert name not in seen
        seen.add(name)
    with pytest.raises(AlreadyExists):
        names.invent(rng, lambda _: True)


@pytest.mark.parametrize(
    ("text", "number"),
    [("SIGTERM", 15), ("term", 15), ("9", 9), ("Hup", 1), ("RTMIN+3", 37), ("SIGRTMAX-1", 63), ("RTMAX", 64)],
)
def test_signals(text: str, number: int) -> None:
    assert signals.parse(text) == number


@pytest.mark.parametrize("text", ["", "0", "SIGNOPE", "-9", "9.0", "RTMIN+99", "RTMAX-64", "٩", "1" * 5000])
def test_no_signals(text: str) -> None:
    with pytest.raises(InvalidArgument, match="Invalid signal"):
        signals.parse(text)


def test_signals_that_the_kernel_has_not() -> None:
    with pytest.raises(InvalidArgument, match="the linux daemon does not support signal 65"):
        signals.parse("65")


def test_times() -> None:
    assert times.rfc3339(0) == "0001-01-01T00:00:00Z"
    assert times.rfc3339(1_700_000_000 * SECOND) == "2023-11-14T22:13:20Z"
    assert times.rfc3339(1_700_000_000 * SECOND + 120) == "2023-11-14T22:13:20.00000012Z"
    assert times.rfc3339_fixed(1_700_000_000 * SECOND) == "2023-11-14T22:13:20.000000000Z"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (120, "2 minutes"),
        (46 * 60, "46 minutes"),
        (60 * 60, "About an hour"),
        (3 * 3600, "3 hours"),
        (3 * 86400, "3 days"),
        (15 * 86400, "2 weeks"),
        (90 * 86400, "3 months"),
        (800 * 86400, "2 years"),
    ],
)
def test_ages(seconds: int, text: str) -> None:
    assert times.human_duration(seconds * SECOND) == text


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("boat", "my-boat", True),
        ("^boat$", "my-boat", False),
        ("^my.*t$", "my-boat", True),
        ("bo?at", "bat", True),
        ("bo+at", "bat", False),
        ("x*", "", True),
        ("a|t$", "boat", True),
        ("q|z", "boat", False),
        ("", "boat", True),
        ("b.t", "boat", False),
        ("(oat)", "boat", False),
        ("a**", "b", True),
    ],
)
def test_patterns(pattern: str, text: str, found: bool) -> None:
    assert search(pattern, text) is found


def test_no_pattern_stops_the_engine() -> None:
    started = time.process_time()
    assert search(".*" * 120 + "x", "a" * 255) is False
    assert search("a?" * 120 + "a" * 120, "a" * 120) is True
    assert time.process_time() - started < 2


@given(st.text("ab.*+?^$|", max_size=12), st.text("ab", max_size=12))
def test_patterns_never_fail(pattern: str, text: str) -> None:
    assert search(pattern, text) in (True, False)


def test_filters_take_both_forms_that_clients_send() -> None:
    assert filters.checked({"name": ["a", "b"], "label": {"x": True, "y": False}}, {"name", "label"}) == {
        "name": ("a", "b"),
        "label": ("x",),
    }
    assert filters.checked(None, set()) == {}
    for wrong in ({"nope": ["a"]}, {"name": "a"}, {"name": [1]}, {"name": 7}):
        with pytest.raises(InvalidArgument, match="invalid filter"):
            filters.checked(wrong, {"name"})


def test_labels_and_booleans() -> None:
    assert filters.labels_match(["a", "b=2"], {"a": "1", "b": "2"})
    assert not filters.labels_match(["b=3"], {"b": "2"})
    assert filters.boolean("dangling", ["1", "true"]) is True
    for wrong in (["yes"], ["1", "0"], []):
        with pytest.raises(InvalidArgument):
            filters.boolean("dangling", wrong)


@pytest.mark.parametrize(
    ("text", "moment"),
    [("5", 5 * SECOND), ("5.000000007", 5 * SECOND + 7), ("10s", 990 * SECOND), ("1m30s", 910 * SECOND)],
)
def test_moments(text: str, moment: int) -> None:
    assert filters.moment(text, 1000 * SECOND) == moment


def test_moments_by_the_calendar_and_none() -> None:
    assert filters.moment("2023-11-14T22:13:20Z", 0) == 1_700_000_000 * SECOND
    for wrong in ("", "s", "1x", "yesterday", "1..2s", "9" * 400 + "h"):
        with pytest.raises(InvalidArgument):
            filters.moment(wrong, 0)


@given(st.text(max_size=40))
def test_moments_are_told_or_refused(text: str) -> None:
    try:
        assert isinstance(filters.moment(text, 0), int)
    except InvalidArgument:
        pass


def _outcome(status: states.Status, event: states.Event) -> str:
    """The new status, or the old one when the refusal is a readable one."""
    try:
        return states.after(status, event, "boat")
    except (Conflict, NotModified) as error:
        return "unreadable" if "{" in str(error) or "\n" in str(error) else status


def test_every_status_answers_every_event() -> None:
    events: tuple[states.Event, ...] = ("start", "pause", "unpause", "remove", "exit", "back-off")
    for status in states.STATUSES:
        for event in events:
            assert _outcome(status, event) in states.STATUSES
    assert states.after("created", "start", "boat") == "running"
    with pytest.raises(NotModified, match="container boat is already running"):
        states.after("running", "start", "boat")


def test_restart_policies() -> None:
    policy = RestartPolicy.from_json({"Name": "on-failure", "MaximumRetryCount": 2})
    assert policy.wants(1, stopped_by_user=False, restarts=1)
    assert not policy.wants(1, stopped_by_user=False, restarts=2)
    assert not policy.wants(0, stopped_by_user=False, restarts=0)
    always, unless = RestartPolicy("always"), RestartPolicy("unless-stopped")
    for each in (always, unless):
        assert each.wants(0, stopped_by_user=False, restarts=99)
        assert not each.wants(0, stopped_by_user=True, restarts=0)
    assert always.wants_at_boot(0, stopped_by_user=True, restarts=0)
    assert not unless.wants_at_boot(0, stopped_by_user=True, restarts=0)
    assert RestartPolicy.from_json(None).to_json() == {"Name": "no", "MaximumRetryCount": 0}
    for wrong in (
        {"Name": "sometimes"},
        {"Name": 5},
        {"Name": "always", "MaximumRetryCount": 1},
        {"Name": "on-failure", "MaximumRetryCount": -1},
        {"Name": "on-failure", "MaximumRetryCount": True},
    ):
        with pytest.raises(InvalidArgument, match="invalid restart policy"):
            RestartPolicy.from_json(wrong)


def test_back_off_doubles_to_a_minute_and_forgets_after_a_steady_run() -> None:
    wait, waits = BackOff(), []
    for _ in range(12):
        wait = wait.next(0)
        waits.append(wait.seconds)
    assert waits[:4] == [0.1, 0.2, 0.4, 0.8]
    assert waits[-1] == 60.0
    assert wait.next(10 * SECOND).seconds == 0.1


PLAIN = runtimes.Entry(is_wasm=False, annotations={})
MODULE = runtimes.Entry(is_wasm=False, annotations={}, magic=b"\0asm\1\0")
ANNOTATED = runtimes.Entry(is_wasm=False, annotations={"module.wasm.image/variant": "compat"})


@pytest.mark.parametrize(
    ("requested", "entry", "name", "kind"),
    [
        ("", PLAIN, runtimes.RUNC, "linux"),
        ("", MODULE, runtimes.WHERRY, "wasm"),
        ("", ANNOTATED, runtimes.WHERRY, "wasm"),
        ("", runtimes.Entry(is_wasm=True, annotations={}), runtimes.WHERRY, "wasm"),
        ("io.containerd.wasmedge.v1", PLAIN, "io.containerd.wasmedge.v1", "wasm"),
        ("io.containerd.wasmtime.v1", PLAIN, "io.containerd.wasmtime.v1", "linux"),
        ("crun", MODULE, "crun", "linux"),
        ("io.containerd.kata.v2", PLAIN, "io.containerd.kata.v2", "linux"),
    ],
)
def test_runtimes(requested: str, entry: runtimes.Entry, name: str, kind: str) -> None:
    configured = {"io.containerd.wasmtime.v1": "/opt/shim"}
    found = runtimes.choose(requested, entry, configured, lambda: ["io.containerd.kata.v2"])
    assert (found.name, found.kind) == (name, kind)


def test_an_unknown_runtime_is_told_which_there_are() -> None:
    with pytest.raises(
        InvalidArgument, match=r"unknown or invalid runtime name: kata \(known: .*io.containerd.runc.v2"
    ):
        runtimes.choose("kata", PLAIN, {}, lambda: ["crun"])
