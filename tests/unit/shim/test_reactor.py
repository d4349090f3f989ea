"""The loop: descriptors, timers, and callbacks that misbehave."""

import os

import pytest

from wherry.shim.reactor import Reactor


def test_descriptors_and_timers_are_served_in_order() -> None:
    reactor = Reactor()
    reading, writing = os.pipe()
    seen: list[str] = []

    def ready() -> None:
        seen.append(os.read(reading, 10).decode())
        reactor.remove(reading)
        reactor.later(0, reactor.stop)

    reactor.add(reading, ready)
    reactor.later(0.001, lambda: seen.append("second"))
    reactor.later(0, lambda: seen.append("first"))
    reactor.later(0.002, lambda: os.write(writing, b"third"))
    reactor.run()
    os.close(reading)
    os.close(writing)
    assert seen == ["first", "second", "third"]


def test_a_callback_that_fails_is_told_and_the_loop_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    reactor = Reactor()
    reactor.later(0, lambda: 1 // 0)
    reactor.later(0, reactor.stop)
    reactor.run()
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_what_is_removed_is_not_called_any_more() -> None:
    reactor = Reactor()
    pipes = [os.pipe() for _ in range(2)]
    seen: list[int] = []

    def ready(number: int) -> None:
        seen.append(number)
        for reading, _ in pipes:
            reactor.remove(reading)
        reactor.stop()

    for number, (reading, writing) in enumerate(pipes):
        reactor.add(reading, lambda number=number: ready(number))
        os.write(writing, b"x")
    reactor.run()
    for pipe in pipes:
        for fd in pipe:
            os.close(fd)
    assert len(seen) == 1


def test_a_number_that_is_used_again_within_a_round_is_not_taken_for_ready() -> None:
    reactor = Reactor()
    pipes = [os.pipe() for _ in range(2)]
    new: list[int] = []
    called: list[int] = []

    def first() -> None:
        """Both are ready: whichever is called first, the other one's number becomes a new pipe's."""
        for reading, writing in pipes:
            reactor.remove(reading)
            os.close(reading)
            os.close(writing)
        new.extend(os.pipe())
        assert new[0] in {reading for reading, _ in pipes}
        reactor.add(new[0], lambda: called.append(new[0]))
        reactor.later(0, lambda: reactor.later(0, reactor.stop))

    for _, writing in pipes:
        os.write(writing, b"x")
    for reading, _ in reversed(pipes):
        reactor.add(reading, first)
    reactor.run()
    for fd in new:
        os.close(fd)
    assert called == []


def test_quiet_is_told_once_and_again_after_noise() -> None:
    reactor = Reactor()
    reading, writing = os.pipe()
    seen: list[str] = []

    def quiet() -> None:
        seen.append("quiet")
        if seen.count("quiet") == 2:
            reactor.later(0.02, reactor.stop)  # a timer is no noise: nobody is told a third time
        else:
            reactor.later(0.02, lambda: os.write(writing, b"noise") and None)

    reactor.add(reading, lambda: seen.append(os.read(reading, 10).decode()))
    reactor.when_quiet(0.001, quiet)
    os.write(writing, b"first")
    reactor.run()
    os.close(reading)
    os.close(writing)
    assert seen == ["first", "quiet", "noise", "quiet"]


def test_it_is_not_quiet_while_something_goes_on() -> None:
    reactor = Reactor()
    reading, writing = os.pipe()
    seen: list[str] = []

    def ready() -> None:
        seen.append(os.read(reading, 10).decode())
        if len(seen) < 8:
            reactor.later(0.01, lambda: os.write(writing, b"x") and None)

    def quiet() -> None:
        seen.append("quiet")
        reactor.stop()

    reactor.add(reading, ready)
    reactor.when_quiet(0.5, quiet)
    os.write(writing, b"x")
    reactor.run()
    os.close(reading)
    os.close(writing)
    assert seen == ["x"] * 8 + ["quiet"]
