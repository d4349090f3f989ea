"""The bus: order, history, and subscribers that are too slow."""

import asyncio

import pytest

from wherry.core.events.bus import HISTORY_SIZE, Event, EventBus, Missed, Subscription


def event(number: int) -> Event:
    return Event("container", "start", f"c{number}", {"name": "x"}, time_ns=number)


async def taken(subscription: Subscription, count: int) -> list[Event | Missed]:
    async with asyncio.timeout(30):
        return [await anext(subscription) for _ in range(count)]


async def test_everybody_hears_everything_in_order() -> None:
    bus = EventBus()
    subscriptions = [bus.subscribe() for _ in range(3)]
    waiting = asyncio.ensure_future(anext(subscriptions[0]))
    await asyncio.sleep(0)
    for number in range(5):
        bus.publish(event(number))
    assert await waiting == event(0)
    assert await taken(subscriptions[0], 4) == [event(number) for number in range(1, 5)]
    for subscription in subscriptions[1:]:
        assert await taken(subscription, 5) == [event(number) for number in range(5)]


async def test_history_is_bounded_and_asked_by_time() -> None:
    bus = EventBus(history=10)
    for number in range(100):
        bus.publish(event(number))
    assert await taken(bus.subscribe(since_ns=0), 10) == [event(number) for number in range(90, 100)]
    late = bus.subscribe(since_ns=98)
    bus.publish(event(100))
    assert await taken(late, 3) == [event(98), event(99), event(100)]
    for now in (bus.subscribe(), bus.subscribe(since_ns=200)):
        bus.publish(event(101))
        assert await taken(now, 1) == [event(101)]


async def test_a_slow_subscriber_loses_the_oldest_and_is_told() -> None:
    bus = EventBus(backlog=4)
    slow, quick = bus.subscribe(), bus.subscribe()
    for number in range(10):
        bus.publish(event(number))
        assert await anext(quick) == event(number)
    assert await taken(slow, 5) == [Missed(6), event(6), event(7), event(8), event(9)]
    bus.publish(event(10))
    assert await anext(slow) == event(10)


async def test_the_end() -> None:
    bus = EventBus()
    left, read = bus.subscribe(), bus.subscribe()
    waiting = asyncio.ensure_future(anext(left))
    await asyncio.sleep(0)
    await left.aclose()
    await left.aclose()
    with pytest.raises(StopAsyncIteration):
        await waiting
    bus.publish(event(1))
    await read.aclose()
    bus.publish(event(2))
    assert [found async for found in left] == []
    assert [found async for found in read] == [event(1)]


async def test_a_cancelled_reader_can_read_again() -> None:
    bus = EventBus()
    subscription = bus.subscribe()
    waiting = asyncio.ensure_future(anext(subscription))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    bus.publish(event(1))
    assert await taken(subscription, 1) == [event(1)]


def large(number: int) -> Event:
    return Event("container", "start", f"c{number}", {"label": "x" * (1 << 19)}, time_ns=number)


async def kept(bus: EventBus) -> list[Event | Missed]:
    subscription = bus.subscribe(since_ns=0)
    await subscription.aclose()
    return [found async for found in subscription]


async def test_events_with_megabytes_of_labels_are_kept_in_smaller_number() -> None:
    bus = EventBus()
    slow = bus.subscribe()
    for number in range(100):
        bus.publish(large(number))
    assert await kept(bus) == [large(99)]
    first, *rest = await taken(slow, 32)
    assert first == Missed(69)
    assert rest == [large(number) for number in range(69, 100)]
    huge = Event("container", "die", "c", {"x" * (HISTORY_SIZE + 1): ""}, time_ns=100)
    bus.publish(huge)
    assert await kept(bus) == [huge]
    bus.publish(event(101))
    assert await kept(bus) == [event(101)]
