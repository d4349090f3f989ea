"""Finding, naming and removing images."""

from types import SimpleNamespace

import pytest

from wherry.errors import Conflict, InvalidArgument, NotFound
from wherry.oci.platform import Platform

HELLO = "docker.io/library/hello:latest"


def _use(world, image, status="exited", container="c" * 64):
    world.containers.append(SimpleNamespace(id=container, image_id=image, state=SimpleNamespace(status=status)))


async def _ids(world, **filters):
    return [image["Id"] for image in await world.images.list(filters={k: [v] for k, v in filters.items()})]


async def test_an_image_is_found_by_each_of_its_names(world):
    image = await world.add(HELLO)
    hex_ = image.removeprefix("sha256:")
    for ref in ("hello", "hello:latest", "docker.io/library/hello", image, hex_, hex_[:12], hex_[:4], f"hello@{image}"):
        assert (await world.images.inspect(ref))["Id"] == image


@pytest.mark.parametrize(
    ("ref", "kind", "message"),
    [
        ("nothing", NotFound, "No such image: nothing:latest"),
        ("sha256:" + "0" * 64, NotFound, "No such image: sha256:" + "0" * 64),
        ("hello@sha256:" + "0" * 64, NotFound, "No such image: hello@sha256:" + "0" * 64),
        ("UPPER", InvalidArgument, "must be lowercase"),
        ("sha256:xyz", InvalidArgument, "invalid image id"),
        ("", InvalidArgument, "invalid reference format"),
    ],
)
async def test_what_is_no_image_is_said_in_dockers_words(world, ref, kind, message):
    await world.add(HELLO)
    with pytest.raises(kind, match=message):
        await world.images.inspect(ref)


async def test_an_ambiguous_prefix_is_refused(world):
    ids = {await world.add(f"docker.io/library/i{number}:latest", salt=str(number)) for number in range(17)}
    digits = [image.removeprefix("sha256:")[0] for image in ids]
    twice = next(digit for digit in digits if digits.count(digit) > 1)
    with pytest.raises(Conflict, match=f"Multiple IDs found with provided prefix: {twice}"):
        await world.images.inspect(f"sha256:{twice}")


async def test_names_are_durable_and_reread_after_forget(world):
    image = await world.add(HELLO)
    world.images.catalog.forget()
    assert (await world.images.inspect("hello"))["RepoTags"] == ["hello:latest"]
    assert (await world.images.inspect("hello"))["RepoDigests"] == [f"hello@{image}"]


async def test_tagging(world):
    image = await world.add(HELLO)
    await world.images.tag("hello", "registry.example:5000/other", "v1")
    await world.images.tag(image, "third", "")
    found = await world.images.inspect("hello")
    assert found["RepoTags"] == ["hello:latest", "third:latest", "registry.example:5000/other:v1"]
    for repository, tag in (("Upper", ""), ("a", "-bad"), (f"a@{image}", "")):
        with pytest.raises(InvalidArgument):
            await world.images.tag("hello", repository, tag)


async def test_a_name_that_moves_on_leaves_an_untagged_image(world):
    old = await world.add(HELLO, salt="old")
    new = await world.add(HELLO, salt="new")
    shown = {image["Id"]: image["RepoTags"] for image in await world.images.list()}
    assert shown == {old: [], new: ["hello:latest"]}
    assert await _ids(world, dangling="true") == [old]
    await world.images.tag(old, "again", "")
    assert await _ids(world, dangling="true") == []


async def test_removing_one_name_of_several_keeps_the_image(world):
    image = await world.add(HELLO)
    await world.images.tag("hello", "other", "")
    assert await world.images.remove("hello") == [{"Untagged": "hello:latest"}]
    assert (await world.images.inspect("other"))["Id"] == image
    assert world.collected == []


async def test_removing_the_last_name_removes_the_image(world):
    image = await world.add(HELLO)
    told = await world.images.remove("hello")
    assert told == [{"Untagged": "hello:latest"}, {"Deleted": image}]
    assert world.collected
    with pytest.raises(NotFound):
        await world.images.inspect(image)


async def test_removing_by_id_takes_all_names_of_one_repository(world):
    image = await world.add(HELLO)
    await world.images.tag("hello", "hello", "v2")
    told = await world.images.remove(image)
    assert [line.get("Untagged") for line in told] == ["hello:latest", "hello:v2", None]


async def test_removing_by_id_from_several_repositories_must_be_forced(world):
    image = await world.add(HELLO)
    await world.images.tag("hello", "other", "")
    with pytest.raises(Conflict, match="image is referenced in multiple repositories"):
        await world.images.remove(image)
    assert len(await world.images.remove(image, force=True)) == 3


async def test_removing_an_untagged_image(world):
    old = await world.add(HELLO, salt="old")
    await world.add(HELLO, salt="new")
    assert await world.images.remove(old) == [{"Deleted": old}]


@pytest.mark.parametrize(
    ("by_id", "status", "force", "words"),
    [
        (False, "exited", False, r'unable to remove repository reference "hello:latest" \(must force\)'),
        (True, "running", False, r"\(cannot be forced\) - image is being used by running container cccccccccccc"),
        (True, "running", True, r"\(cannot be forced\)"),
        (True, "exited", False, r"\(must be forced\) - image is being used by stopped container cccccccccccc"),
    ],
)
async def test_an_image_in_use_is_not_removed(world, by_id, status, force, words):
    image = await world.add(HELLO)
    _use(world, image, status)
    with pytest.raises(Conflict, match=words):
        await world.images.remove(image if by_id else "hello", force=force)
    assert (await world.images.inspect("hello"))["Id"] == image


async def test_forced_removal_of_a_used_image_only_takes_its_name(world):
    image = await world.add(HELLO)
    _use(world, image)
    assert await world.images.remove("hello", force=True) == [{"Untagged": "hello:latest"}]
    assert await _ids(world, dangling="true") == [image]


async def test_prune_takes_untagged_images_or_all_that_nobody_uses(world):
    old = await world.add(HELLO, salt="old")
    new = await world.add(HELLO, salt="new")
    used = await world.add("docker.io/library/used:latest", salt="used")
    _use(world, used)
    pruned = await world.images.prune({})
    assert pruned["ImagesDeleted"] == [{"Deleted": old}]
    assert pruned["SpaceReclaimed"] > 0
    pruned = await world.images.prune({"dangling": ["false"]})
    assert {"Deleted": new} in pruned["ImagesDeleted"]
    assert await _ids(world) == [used]


async def test_filters(world):
    first = await world.add("docker.io/library/a:1", labels={"k": "v"}, created="2020-01-01T00:00:00Z", salt="1")
    second = await world.add("example.org/x/b:2", created="2024-01-01T00:00:00Z", salt="2")
    assert await _ids(world, reference="a") == [first]
    assert await _ids(world, reference="a:*") == [first]
    assert await _ids(world, reference="example.org/*/b") == [second]
    assert await _ids(world, reference="*") == [first]
    assert await _ids(world, label="k=v") == [first]
    assert await _ids(world, **{"label!": "k"}) == [second]
    assert await _ids(world, before="example.org/x/b:2") == [first]
    assert await _ids(world, since="a:1") == [second]
    assert await _ids(world, until="2022-01-01T00:00:00Z") == [first]
    with pytest.raises(InvalidArgument, match="invalid filter 'colour'"):
        await _ids(world, colour="red")


async def test_a_platform_is_chosen(world):
    await world.images.catalog.name(HELLO, world.make_index("wasi/wasm", "linux/amd64"))
    catalog = world.images.catalog
    entry = (await catalog.find("hello")).entry
    assert str((await catalog.variant(entry, None, "hello")).platform) == "wasi/wasm"
    assert str((await catalog.variant(entry, Platform.parse("linux/amd64"), "hello")).platform) == "linux/amd64"
    assert str((await catalog.variant(entry, Platform.parse("wasi/wasm32"), "hello")).platform) == "wasi/wasm"
    with pytest.raises(NotFound, match=r"image with reference hello was found but its platform \(.*\) does not match"):
        await catalog.variant(entry, Platform.parse("linux/arm64"), "hello")


async def test_the_only_platform_is_taken_when_none_is_asked_for(world):
    await world.add(HELLO)
    found = await world.images.inspect("hello")
    assert (found["Os"], found["Architecture"]) == ("wasi", "wasm")


async def test_views(world):
    image = await world.add(HELLO, labels={"l": "1"})
    listed = (await world.images.list())[0]
    assert listed["Created"] == 1767323045
    assert listed["Labels"] == {"l": "1"}
    assert listed["Containers"] == 0
    found = await world.images.inspect("hello")
    assert found["Config"]["Cmd"] == ["/hello.wasm", ""]
    assert found["RootFS"] == {"Type": "layers", "Layers": ["sha256:" + "1" * 64]}
    assert found["GraphDriver"]["Name"] == "copy"
    history = await world.images.history("hello")
    assert [(step["Id"], step["CreatedBy"], step["Size"]) for step in history] == [
        (image, "CMD", 0),
        ("<missing>", "COPY hello.wasm /", 5),
    ]
    assert history[0]["Tags"] == ["hello:latest"]


async def test_a_damaged_image_does_not_hide_the_others(world):
    good = await world.add(HELLO)
    bad = await world.add("docker.io/library/bad:latest", salt="bad")
    path = world.services.content.path((await world.images.catalog.find("bad")).entry.target.digest)
    with open(path, "ab") as file:
        file.write(b"rot")
    assert await _ids(world) == [good]
    assert bad != good


async def test_events_tell_of_names(world):
    happened = world.events.subscribe()
    await world.add(HELLO)
    await world.images.tag("hello", "other", "")
    await world.images.remove("other")
    seen = [await anext(happened) for _ in range(2)]
    assert [(event["Action"], event["Actor"]["Attributes"]["name"]) for event in seen] == [
        ("tag", "other:latest"),
        ("untag", "other:latest"),
    ]
