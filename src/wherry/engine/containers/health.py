"""Health checks: what a check is made of, and what its results make of a container. Pure; times are parameters.

Source: https://docs.docker.com/reference/dockerfile/#healthcheck and the Engine API's Health and HealthConfig.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from wherry.engine.containers.httpcheck import HttpTarget, target_of
from wherry.engine.record import Record
from wherry.engine.times import rfc3339
from wherry.errors import InvalidArgument

Json = dict[str, Any]

TIMED_OUT: Final = -1
"""The exit code that docker gives to a check that took too long."""

LARGEST_OUTPUT: Final = 4096
"""Bytes of a check's output that are kept."""

_SECOND: Final = 1_000_000_000
_MILLISECOND: Final = 1_000_000
_RESULTS_KEPT: Final = 5
_NONE: Final = ("NONE",)


@dataclass(frozen=True, slots=True)
class Policy:
    """How a container is checked. ``test`` is docker's, beginning with CMD or CMD-SHELL; ``http`` is asked instead
    where it is given; times in nanoseconds."""

    test: tuple[str, ...]
    interval: int
    timeout: int
    start_period: int
    start_interval: int
    retries: int
    http: HttpTarget | None = None

    def wait(self, health: Mapping[str, Any], started: int, now: int) -> int:
        """Nanoseconds until the next check: while it starts, and may take its time, they come closer together."""
        starting = health["Status"] == "starting" and now - started < self.start_period
        return self.start_interval if starting else self.interval


@dataclass(frozen=True, slots=True)
class Result:
    """One check: when it began and ended (nanoseconds since the epoch), its exit code, its output."""

    start: int
    end: int
    code: int
    output: str


def check(config: Any) -> None:
    """Config.Healthcheck as clients send it. InvalidArgument, worded as docker's."""
    if not config:
        return
    test = config.get("Test") or []
    if not isinstance(test, list) or not all(isinstance(word, str) for word in test):
        raise InvalidArgument("Healthcheck.Test must be a list of texts")
    if test and test[0] not in ("NONE", "CMD", "CMD-SHELL"):
        raise InvalidArgument(f"Unknown healthcheck type '{test[0][:40]}' (expected 'CMD', 'CMD-SHELL' or 'NONE')")
    for name in ("Interval", "Timeout", "StartPeriod", "StartInterval", "Retries"):
        value = config.get(name) or 0
        if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= 2**63:
            raise InvalidArgument(f"{name} in Healthcheck must be a whole number")
        if name == "Retries" and value < 0:
            raise InvalidArgument("Retries in Healthcheck cannot be negative")
        if name != "Retries" and (value < 0 or 0 < value < _MILLISECOND):
            raise InvalidArgument(f"{name} in Healthcheck cannot be less than 1ms")


def merged(own: Mapping[str, Any] | None, image: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """The user's check, completed by the image's."""
    if not own or not image:
        return own or image
    return {**image, **{name: value for name, value in own.items() if value}}


def policy_of(record: Record) -> Policy | None:
    """None: the container is not checked. A command goes before the label that names a path."""
    config = record.config.get("Healthcheck") or {}
    test = tuple(config.get("Test") or ())
    http = None if len(test) >= 2 or test[:1] == _NONE else target_of(record.config, record.host_config)
    if (len(test) < 2 or test[:1] == _NONE) and http is None:
        return None
    return Policy(
        test=test,
        interval=config.get("Interval") or 30 * _SECOND,
        timeout=config.get("Timeout") or 30 * _SECOND,
        start_period=config.get("StartPeriod") or 0,
        start_interval=config.get("StartInterval") or 5 * _SECOND,
        retries=config.get("Retries") or 3,
        http=http,
    )


def command(policy: Policy, record: Record) -> list[str]:
    """The check's argument vector. A WASM container has no shell: the words of the line are a module's.

    InvalidArgument: they cannot be told apart.
    """
    kind, *words = policy.test
    if kind == "CMD":
        return words
    shell: Sequence[str] = record.config.get("Shell") or ()
    if record.kind == "wasm" and not shell:
        try:
            return shlex.split(words[0])
        except ValueError as error:
            raise InvalidArgument(f"the health check {words[0][:80]!r} cannot be split into words: {error}") from None
    return [*(shell or ("/bin/sh", "-c")), words[0]]


def starting(before: Mapping[str, Any] | None = None) -> Json:
    """The health of a container that has just been started; results of its earlier life are kept."""
    return {"Status": "starting", "FailingStreak": 0, "Log": list((before or {}).get("Log") or ())}


def ended(before: Mapping[str, Any] | None) -> Json | None:
    """The health of one that does not run any more."""
    return None if before is None else {**before, "Status": "unhealthy"}


def judged(before: Mapping[str, Any], result: Result, policy: Policy, started: int) -> Json:
    """The health after one more result. A failure in the start period counts only once it has been healthy."""
    entry = {
        "Start": rfc3339(result.start),
        "End": rfc3339(result.end),
        "ExitCode": result.code,
        "Output": result.output,
    }
    status, streak = before["Status"], before["FailingStreak"]
    if result.code == 0:
        status, streak = "healthy", 0
    elif status != "starting" or result.start - started >= policy.start_period:
        streak += 1
        status = "unhealthy" if streak >= policy.retries else status
    return {"Status": status, "FailingStreak": streak, "Log": [*before["Log"], entry][-_RESULTS_KEPT:]}


def status_of(record: Record) -> str:
    """``none``, ``starting``, ``healthy`` or ``unhealthy``: what `docker ps --filter health=` asks for."""
    health = record.state.health
    return health["Status"] if health else "none"
