"""Who is charged for which bytes."""

from wherry.build.cache import Kept, Layer
from wherry.engine.disk import Room, build_cache, rooms, union
from wherry.oci.descriptor import Descriptor
from wherry.oci.digest import Digest

A, B, C = (Descriptor.of("a/layer", data) for data in (b"a", b"bb", b"ccc"))


def kept(key, descriptor, used):
    return Kept(key, Layer(descriptor, Digest.of(key.encode())), used)


def test_what_two_images_have_is_shared():
    pieces = {"one": {"a": 1, "b": 2}, "two": {"b": 2, "unpacked b": 30}, "three": {"unpacked b": 30}, "four": {}}
    assert rooms(pieces) == {"one": Room(3, 2), "two": Room(32, 32), "three": Room(30, 30), "four": Room(0, 0)}
    assert union(pieces) == 33


def test_a_cached_layer_is_told_once_and_whether_an_image_has_it():
    found = build_cache([kept("k1", A, 5.0), kept("k2", A, 9.0), kept("k3", C, 1.0)], [(A, B)])
    told = {item["Description"]: (item["Shared"], item["Size"], item["LastUsedAt"]) for item in found}
    assert told == {
        f"layer {A.digest}": (True, 1, "1970-01-01T00:00:09Z"),
        f"layer {C.digest}": (False, 3, "1970-01-01T00:00:01Z"),
    }
