"""The filters of `docker images`. Pure but for the lookups of ``before`` and ``since``, which are given."""

import fnmatch
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from wherry.engine.filters import boolean, labels_match, moment
from wherry.engine.image_catalog import Entry, Variant
from wherry.engine.image_views import created_seconds
from wherry.errors import InvalidArgument
from wherry.oci.reference import Reference

KNOWN: Collection[str] = ("before", "dangling", "label", "label!", "reference", "since", "until")


@dataclass(frozen=True, slots=True)
class Selection:
    """Filters read once. Times in seconds since the epoch; None is no limit."""

    dangling: bool | None = None
    labels: tuple[str, ...] = ()
    not_labels: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    before: float | None = None
    since: float | None = None

    def takes(self, entry: Entry, variant: Variant) -> bool:
        """Whether the image is wanted, whatever its names."""
        labels = variant.config.config.labels
        created = created_seconds(variant.config, entry)
        return (
            (self.dangling is None or self.dangling == (not entry.names))
            and labels_match(self.labels, labels)
            and not any(labels_match((label,), labels) for label in self.not_labels)
            and (self.before is None or created < self.before)
            and (self.since is None or created > self.since)
        )

    def shown(self, entry: Entry) -> Entry | None:
        """The image under those of its names that were asked for; None if there are none among them."""
        if not self.references:
            return entry
        names = tuple(name for name in entry.names if any(_named(pattern, name) for pattern in self.references))
        return replace(entry, names=names) if names else None


def selection(
    filters: Mapping[str, Sequence[str]], now: int, *, before: Sequence[float] = (), since: Sequence[float] = ()
) -> Selection:
    """Read checked filters; ``before`` and ``since`` are the creation times of the images those name. ``now`` in
    nanoseconds since the epoch. InvalidArgument."""
    limits = [*before, *(moment(text, now) / 1e9 for text in filters.get("until", ()))]
    dangling = filters.get("dangling")
    if not all(map(_is_pattern, filters.get("reference", ()))):
        raise InvalidArgument("syntax error in pattern")
    return Selection(
        dangling=boolean("dangling", dangling) if dangling else None,
        labels=tuple(filters.get("label", ())),
        not_labels=tuple(filters.get("label!", ())),
        references=tuple(filters.get("reference", ())),
        before=min(limits, default=None),
        since=max(since, default=None),
    )


def _named(pattern: str, name: str) -> bool:
    """Docker's reference filter: the pattern matches the familiar name, with or without the tag."""
    reference = Reference.parse_bare(name)
    return any(_matches(pattern, shown) for shown in (reference.familiar(), reference.familiar_name))


def _is_pattern(text: str) -> bool:
    """Whether its brackets are closed and hold something: fnmatch takes others for what they are."""
    return not _OPEN.search(text)


_OPEN: Final = re.compile(r"\[(?!\^?[^]]+\])")


def _matches(pattern: str, name: str) -> bool:
    """A shell pattern whose ``*`` does not reach over a slash."""
    patterns, parts = pattern.split("/"), name.split("/")
    return len(patterns) == len(parts) and all(map(fnmatch.fnmatchcase, parts, patterns))
