"""Whole builds: a context in, an image out."""

from __future__ import annotations

import gzip
from typing import Any

import pytest

from tests.unit.build.building import HELLO, WASM, FakeCompiler, Workshop, context, tar
from wherry.build.events import Built, StepStarted, Tagged, Warned
from wherry.errors import InvalidArgument, NotFound, Unimplemented, WherryError
from wherry.oci.platform import Platform


async def test_hello(workshop: Workshop) -> None:
    compiler = FakeCompiler()
    workshop.with_(compiler=compiler)
    result = await workshop.build(context(HELLO, {"hello.wasm": WASM}), tags=("hello", "reg.io/a/b:1"))
    assert workshop.files(result) == {"hello.wasm": WASM}
    assert result.config.platform == Platform("wasi", "wasm")
    assert result.config.config.entrypoint == ("/hello.wasm",)
    assert result.tags == ("docker.io/library/hello:latest", "reg.io/a/b:1")
    assert workshop.services.images.get("docker.io/library/hello:latest").target == result.target
    assert compiler.seen == [WASM]
    assert [event.text for event in workshop.events if isinstance(event, StepStarted)] == HELLO.splitlines()
    assert Tagged("hello:latest") in workshop.events
    assert Built(str(result.image_id), str(result.target.digest)) in workshop.events
    assert workshop.nothing_left()


async def test_equal_contexts_make_equal_images(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> None:
    one = await workshop.build(context(HELLO, {"hello.wasm": WASM}))
    other_shop = Workshop(tmp_path_factory.mktemp("other"))
    try:
        other = await other_shop.build(gzip.compress(context(HELLO, {"hello.wasm": WASM}, mtime=5)), no_cache=True)
    finally:
        other_shop.close()
    assert one == other
    again = await workshop.build(context(HELLO, {"hello.wasm": WASM}), no_cache=True)
    assert again.target == one.target
    assert one.config.created == "1970-01-01T00:00:00Z"


async def test_source_date_epoch(workshop: Workshop) -> None:
    args = {"SOURCE_DATE_EPOCH": "86400"}
    result = await workshop.build(context(HELLO, {"hello.wasm": WASM}), build_args=args)
    assert result.config.created == "1970-01-02T00:00:00Z"
    assert not any(isinstance(event, Warned) for event in workshop.events)
    with pytest.raises(InvalidArgument, match="SOURCE_DATE_EPOCH"):
        await workshop.build(context(HELLO), build_args={"SOURCE_DATE_EPOCH": "soon"})


async def test_overhead_is_small(workshop: Workshop) -> None:
    module = WASM + bytes(range(256)) * 100
    await workshop.build(context(HELLO, {"hello.wasm": module}))
    stored = sum(blob.size for blob in workshop.services.content.walk())
    assert stored <= len(module) + 2048


async def test_cache(workshop: Workshop) -> None:
    files = {"hello.wasm": WASM}
    first = await workshop.build(context(HELLO, files))
    assert workshop.cached == [False, False, False]
    second = await workshop.build(context(HELLO, files, mtime=1))
    assert second == first
    assert workshop.cached == [False, True, True]
    changed = await workshop.build(context(HELLO, {"hello.wasm": WASM + b"\0"}))
    assert changed != first
    assert workshop.cached == [False, False, False]
    await workshop.build(context(HELLO, files), no_cache=True)
    assert workshop.cached == [False, False, False]
    await workshop.build(context(HELLO, files, mode=0o755))
    assert workshop.cached == [False, False, False]


async def test_a_layer_that_the_collector_took_is_made_again(workshop: Workshop) -> None:
    first = await workshop.build(context(HELLO, {"hello.wasm": WASM}))
    for blob in list(workshop.services.content.walk()):
        workshop.services.content.delete(blob.digest)
    second = await workshop.build(context(HELLO, {"hello.wasm": WASM}))
    assert second == first
    assert workshop.files(second) == {"hello.wasm": WASM}


async def test_configuration(workshop: Workshop) -> None:
    text = """FROM scratch
ARG who=world
ENV A=1 B="x y"
ENV C=${A}2 A=3
LABEL a=$who b='c d'
WORKDIR /w
WORKDIR sub
USER 10:20
EXPOSE 80 90-91/udp
VOLUME /data ["/x"]
STOPSIGNAL SIGINT
HEALTHCHECK --interval=5s CMD ["/check"]
SHELL ["/sh", "-c"]
ONBUILD ENV LATER=1
MAINTAINER me
CMD echo $HOME
ENTRYPOINT ["/e"]
"""
    result = await workshop.build(context(text), labels={"z": "1"}, build_args={"who": "you"})
    config = result.config.config
    assert config.env == ("A=3", "B=x y", "C=12")
    assert config.labels == {"a": "you", "b": "c d", "z": "1"}
    assert (config.working_dir, config.user) == ("/w/sub", "10:20")
    assert config.exposed_ports == ("80/tcp", "90/udp", "91/udp")
    assert config.stop_signal == "SIGINT"
    assert config.healthcheck is not None
    assert config.healthcheck.interval == 5 * 10**9
    assert config.on_build == ("ENV LATER=1",)
    assert config.cmd == ("/sh", "-c", "echo $HOME")
    assert config.entrypoint == ("/e",)
    assert result.config.author == "me"
    assert result.config.platform == Platform("linux", "amd64")
    assert workshop.files(result) == {"w": None, "w/sub": None}
    assert sum(not step.empty_layer for step in result.config.history) == len(result.config.diff_ids)


async def test_entrypoint_drops_an_inherited_cmd(workshop: Workshop) -> None:
    await workshop.build(context('FROM scratch\nCMD ["a"]\n'), tags=("base",))
    result = await workshop.build(context('FROM base\nENTRYPOINT ["b"]\n'))
    assert (result.config.config.entrypoint, result.config.config.cmd) == (("b",), None)
    result = await workshop.build(context('FROM base\nCMD ["c"]\nENTRYPOINT ["b"]\n'))
    assert result.config.config.cmd == ("c",)


async def test_stages(workshop: Workshop) -> None:
    text = """ARG BASE=one
FROM scratch AS one
COPY a /a
ENV X=1
FROM scratch AS unneeded
COPY nothing /
FROM ${BASE} AS two
COPY b /b
FROM scratch
COPY --from=two /a /from-two
COPY --from=0 --chown=5:6 a /from-zero
"""
    result = await workshop.build(context(text, {"a": b"A", "b": b"B"}))
    assert workshop.files(result) == {"from-two": b"A", "from-zero": b"A"}
    entry = workshop.tree(result).get("from-zero")
    assert entry is not None
    assert (entry.uid, entry.gid) == (5, 6)
    two = await workshop.build(context(text, {"a": b"A", "b": b"B"}), target="TWO")
    assert workshop.files(two) == {"a": b"A", "b": b"B"}
    assert two.config.config.env == ("X=1",)


async def test_base_images_and_triggers(workshop: Workshop) -> None:
    text = "FROM scratch\nCOPY a /a\nENV X=1\nONBUILD COPY b /b\nONBUILD ENV Y=$X\n"
    base = await workshop.build(context(text, {"a": b"A"}), tags=("base:1",), platform="wasi/wasm32")
    digits = base.target.digest.hex[:12]
    result = await workshop.build(context(f"FROM base:1\nCOPY --from={digits} a /c\n", {"b": b"B"}))
    assert workshop.files(result) == {"a": b"A", "b": b"B", "c": b"A"}
    assert result.config.config.env == ("X=1", "Y=1")
    assert result.config.config.on_build == ()
    assert result.config.platform == Platform("wasi", "wasm")
    assert result.config.diff_ids[:1] == base.config.diff_ids
    with pytest.raises(NotFound, match="for wasi/wasm, not for linux/amd64"):
        await workshop.build(context("FROM base:1\n"), platform="linux/amd64")


@pytest.mark.parametrize(
    ("text", "platform", "expected"),
    [
        (HELLO, "", "wasi/wasm"),
        (HELLO, "wasip1/wasm", "wasi/wasm"),
        (HELLO, "linux/amd64", "linux/amd64"),
        (HELLO.replace("FROM", "FROM --platform=wasi/wasm32"), "", "wasi/wasm"),
        (HELLO.replace("FROM", "FROM --platform=$TARGETPLATFORM"), "linux/arm64", "linux/arm64"),
        ("FROM scratch\nCOPY elf /elf\nENTRYPOINT /elf\n", "", "linux/amd64"),
        ("FROM scratch\nCOPY elf /elf\n", "linux/arm64", "linux/arm64"),
        ("FROM scratch\nWORKDIR /d\nCOPY hello.wasm .\nCMD hello.wasm#go x\n", "", "wasi/wasm"),
    ],
)
async def test_platforms(workshop: Workshop, text: str, platform: str, expected: str) -> None:
    files = {"hello.wasm": WASM, "elf": b"\x7fELF"}
    assert str((await workshop.build(context(text, files), platform=platform)).config.platform) == expected


async def test_a_modules_command_line_needs_no_shell(workshop: Workshop) -> None:
    text = "FROM scratch\nENV N=you\nCOPY hello.wasm /\nENTRYPOINT /hello.wasm 'a b' $N\nCMD x y\n"
    config = (await workshop.build(context(text, {"hello.wasm": WASM}), platform="wasi/wasm")).config.config
    assert config.entrypoint == ("/hello.wasm", "a b", "you")
    assert config.cmd == ("x", "y")


async def test_automatic_and_global_args(workshop: Workshop) -> None:
    text = """ARG V=1
ARG W=${V}2
FROM scratch
ARG V
ARG W
ARG TARGETPLATFORM
ARG NONE
ARG OWN=own
LABEL l="$V $W $TARGETPLATFORM [$NONE] $OWN $UNDECLARED"
"""
    args = {"V": "7", "UNDECLARED": "x"}
    result = await workshop.build(context(text), platform="wasi/wasm", build_args=args)
    assert result.config.config.labels["l"] == "7 72 wasi/wasm [] own "
    assert [event.text for event in workshop.events if isinstance(event, Warned)] == [
        "One or more build-args [UNDECLARED] were not consumed"
    ]


async def test_a_name_that_moves_leaves_an_untagged_image(workshop: Workshop) -> None:
    first = await workshop.build(context(HELLO, {"hello.wasm": WASM}), tags=("hello",))
    second = await workshop.build(context(HELLO, {"hello.wasm": WASM + b"\0"}), tags=("hello",))
    names = {image.name: image.target for image in workshop.services.images.walk()}
    assert names == {"docker.io/library/hello:latest": second.target, f"<none>@{first.target.digest}": first.target}
    untagged = await workshop.build(context("FROM scratch\nENV A=1\n"))
    assert workshop.services.images.get(f"<none>@{untagged.target.digest}").target == untagged.target
    await workshop.build(context("FROM scratch\nENV A=1\n"), tags=("named",))
    assert f"<none>@{untagged.target.digest}" not in {image.name for image in workshop.services.images.walk()}


FAULTS: list[tuple[str, dict[str, Any], type[WherryError], str]] = [
    ("FROM nope\n", {}, NotFound, "^Dockerfile:1: FROM nope: No such image: nope:latest"),
    ("FROM Foo\n", {}, InvalidArgument, r"repository name \(library/Foo\) must be lowercase"),
    ("FROM scratch\nCOPY nope /\n", {}, NotFound, '^Dockerfile:2: COPY nope /: "/nope": not found'),
    ("FROM scratch\nCOPY ../x /\n", {}, InvalidArgument, "forbidden path outside the build context: ../x"),
    ("FROM scratch\nCOPY *.x /\n", {}, InvalidArgument, "no source files were specified"),
    ("FROM scratch\nCOPY a b /c\n", {}, InvalidArgument, "the destination must be a directory and end with a /"),
    ("FROM scratch\nCOPY --from=nope a /c\n", {}, NotFound, "No such image: nope:latest"),
    ("FROM scratch\nCOPY --from=0 a /c\n", {}, InvalidArgument, "there is no earlier stage"),
    ("FROM scratch\nCOPY --chmod=999 a /c\n", {}, InvalidArgument, "invalid chmod parameter: '999'"),
    ("FROM scratch\nCOPY --chown=joe a /c\n", {}, InvalidArgument, "unable to find user joe"),
    ("FROM scratch\nCOPY https://x/y /c\n", {}, InvalidArgument, "source can't be a URL for COPY"),
    ("FROM scratch\nADD https://x/y /c\n", {}, Unimplemented, "download https://x/y first"),
    (
        f"FROM scratch\nADD --checksum=sha256:{64 * 'a'} a /c\n",
        {},
        InvalidArgument,
        "checksum can't be specified for non-H",
    ),
    ("FROM scratch\nRUN make\n", {}, Unimplemented, "^Dockerfile:2: RUN make: RUN is not supported by this engine"),
    ("FROM scratch\nEXPOSE x\n", {}, InvalidArgument, "invalid containerPort"),
    ("FROM scratch\nSTOPSIGNAL SIGFOO\n", {}, InvalidArgument, "invalid signal: SIGFOO"),
    ('FROM scratch\nENV A="${B:?no b}"\n', {}, InvalidArgument, "^Dockerfile:2: .*B: no b"),
    ("FROM scratch\nRNU x\n", {}, InvalidArgument, "^Dockerfile:2: dockerfile parse error on line 2: unknown inst"),
    ("FROM scratch\n", {"target": "x"}, NotFound, 'target stage "x" could not be found'),
    ("FROM scratch\n", {"platform": "a/b/c/d"}, InvalidArgument, "invalid platform"),
    ("FROM scratch\n", {"tags": ("A",)}, InvalidArgument, "must be lowercase"),
    ("FROM scratch\n", {"remote": "https://x/y.git"}, Unimplemented, "remote"),
    ("FROM scratch\n", {"dockerfile": "x/D"}, NotFound, "failed to read dockerfile: open x/D: no such file"),
    ("FROM scratch\n", {"dockerfile": "../D"}, InvalidArgument, "must be within the build context"),
]


@pytest.mark.parametrize(("text", "fields", "kind", "told"), FAULTS, ids=[f"{f[0]}{f[1]}" for f in FAULTS])
async def test_faults(
    workshop: Workshop, text: str, fields: dict[str, Any], kind: type[WherryError], told: str
) -> None:
    with pytest.raises(kind, match=told) as caught:
        await workshop.build(context(text, {"a": b"A", "b": b"B"}), **fields)
    assert "\n" not in str(caught.value)
    assert not list(workshop.services.images.walk())
    assert workshop.nothing_left()


async def test_a_bad_module_fails_the_build(workshop: Workshop) -> None:
    workshop.with_(compiler=FakeCompiler(fault=InvalidArgument("MODULE is truncated at byte 8")))
    with pytest.raises(InvalidArgument, match=r"^the image's entry /hello\.wasm: hello\.wasm is truncated at byte 8"):
        await workshop.build(context(HELLO, {"hello.wasm": WASM}), tags=("hello",))
    workshop.with_(compiler=FakeCompiler(exports=("add", "sub")))
    with pytest.raises(InvalidArgument, match=r"has no _start export; it exports add, sub"):
        await workshop.build(context(HELLO, {"hello.wasm": WASM}), tags=("hello",))
    assert not list(workshop.services.images.walk())
    assert workshop.nothing_left()


async def test_a_module_is_compiled_once(workshop: Workshop) -> None:
    compiler = FakeCompiler(exports=("go",))
    workshop.with_(compiler=compiler)
    text = HELLO.replace('hello.wasm"]', 'hello.wasm#go"]')
    for _ in range(2):
        await workshop.build(context(text, {"hello.wasm": WASM}))
    assert len(compiler.seen) == 1
    await workshop.build(context(text, {"hello.wasm": WASM}), no_cache=True)
    assert len(compiler.seen) == 2


async def test_a_missing_entry_is_told(workshop: Workshop) -> None:
    workshop.with_(compiler=FakeCompiler())
    await workshop.build(context('FROM scratch\nENTRYPOINT ["/x.wasm"]\n'), platform="wasi/wasm")
    assert Warned(0, "the image's entry /x.wasm is not in it") in workshop.events


async def test_another_dockerfile_and_its_ignore_file(workshop: Workshop) -> None:
    files = {
        "d/My.Dockerfile": b"FROM scratch\nCOPY . /\n",
        "d/My.Dockerfile.dockerignore": b"*\n!keep\nkeep/not*\n",
        ".dockerignore": b"keep\n",
        "keep/a": b"A",
        "keep/not-b": b"B",
        "drop": b"C",
    }
    result = await workshop.build(tar(files), dockerfile="d/My.Dockerfile")
    assert workshop.files(result) == {"keep": None, "keep/a": b"A"}
