"""The compiler's driver against processes that answer, babble, die and hang."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest
from blockbuster import blockbuster_ctx

from wherry import errors
from wherry.core.modules.compiler import CompiledModule
from wherry.core.modules.subprocess_compiler import CompilerConfig, SubprocessCompiler

DIGEST = "sha256:" + "ab" * 32
DEADLINE = 30


class Bench:
    """A compiler that is a Python program of ours, which notes each of its runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.module = folder / "m.wasm"
        self.module.write_bytes(b"\0asm")
        self.compiled = folder / "m.cwasm"
        self.compiled.write_bytes(b"native")
        self.cache = "/cache"
        self.program("answer()")

    def program(self, body: str) -> None:
        lines = [
            "import json, os, sys, time",
            f"open({str(self.folder / 'runs')!r}, 'a').write(' '.join(sys.argv[1:]) + chr(10))",
            "say = lambda value: print(json.dumps(value), flush=True)",
            f"found = {{'digest': {DIGEST!r}, 'path': {str(self.compiled)!r}, 'info': {{'kind': 'module'}}}}",
            "answer = lambda: say(found)",
            body,
        ]
        (self.folder / "compile.py").write_text("\n".join(lines))

    def runs(self) -> list[str]:
        path = self.folder / "runs"
        return path.read_text().splitlines() if path.exists() else []

    def compiler(self, timeout: float = DEADLINE) -> SubprocessCompiler:
        command = (sys.executable, "-S", str(self.folder / "compile.py"))
        return SubprocessCompiler(CompilerConfig(self.cache, "/lib.so", command, {"A": "b"}, timeout))

    async def ensure(self, **options: float) -> CompiledModule:
        with blockbuster_ctx("wherry.core"):
            return await self.compiler(**options).ensure(str(self.module))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def test_a_file_is_compiled_once_while_it_stays_the_same(bench: Bench) -> None:
    compiler = bench.compiler()
    found = await compiler.ensure(str(bench.module))
    assert found == CompiledModule(found.digest, str(bench.compiled), {"kind": "module"})
    assert str(found.digest) == DIGEST
    assert await compiler.ensure(str(bench.module)) is found
    os.link(bench.module, bench.folder / "same.wasm")  # the link changes its ctime, so one look is taken more
    again = await asyncio.gather(*(compiler.ensure(str(bench.folder / "same.wasm")) for _ in range(5)))
    assert again == [found] * 5
    assert bench.runs() == [
        f"--cache /cache --library /lib.so --name m.wasm {bench.module}",
        f"--cache /cache --library /lib.so --name same.wasm {bench.folder / 'same.wasm'}",
    ]
    bench.module.write_bytes(b"\0asm other")
    await compiler.ensure(str(bench.module))
    assert len(bench.runs()) == 3
    bench.compiled.unlink()  # somebody cleared the cache
    await compiler.ensure(str(bench.module))
    assert len(bench.runs()) == 4


async def test_the_same_bytes_elsewhere_start_no_process(bench: Bench) -> None:
    """As in an image that has the module of another one."""
    bench.program(
        "import hashlib\n"
        "found['digest'] = 'sha256:' + hashlib.sha256(open(sys.argv[-1], 'rb').read()).hexdigest()\n"
        "answer()"
    )
    compiler = bench.compiler()
    found = await compiler.ensure(str(bench.module))
    other = bench.folder / "other.wasm"
    other.write_bytes(bench.module.read_bytes())
    assert await compiler.ensure(str(other)) is found
    assert compiler.known(str(other)) is found
    assert len(bench.runs()) == 1
    await compiler.ensure(str(other), fuel=True)
    other.write_bytes(bench.module.read_bytes()[::-1])  # of the same size
    await compiler.ensure(str(other))
    assert len(bench.runs()) == 3
    bench.compiled.unlink()
    await compiler.ensure(str(bench.module))
    assert len(bench.runs()) == 4


async def test_progress_is_passed_on(bench: Bench) -> None:
    bench.program("say({'progress': 'one'}); say({'progress': 'two'}); answer()")
    heard: list[str] = []
    await bench.compiler().ensure(str(bench.module), progress=heard.append)
    assert heard == ["one", "two"]


@pytest.mark.parametrize("kind", ["InvalidArgument", "NotFound", "PermissionDenied", "ResourceExhausted", "DataLoss"])
async def test_refusals(bench: Bench, kind: str) -> None:
    bench.program(f"say({{'error': {{'kind': '{kind}', 'message': 'm.wasm: the reason'}}}}); sys.exit(1)")
    with pytest.raises(getattr(errors, kind), match=r"m\.wasm: the reason"):
        await bench.ensure()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("sys.exit(3)", "exit code 3"),
        ("raise ValueError('what it was')", "ValueError: what it was"),
        ("pass", "exit code 0"),
        ("print('no json'); answer()", "the compiler failed"),
        ("print('{'); answer(); print('x' * 1000000)", "the compiler failed"),
        ("say([1]); say(5)", "the compiler failed"),
        ("say({'digest': 'x'})", "the compiler failed"),
        ("answer(); sys.exit(1)", "exit code 1"),
        ("os.kill(os.getpid(), 11)", "exit code -11"),
        ("say({'error': {'kind': 'Exception', 'message': 'odd'}})", "odd"),
    ],
)
async def test_compilers_that_fail(bench: Bench, body: str, message: str) -> None:
    bench.program(body)
    with pytest.raises(errors.Internal) as raised:
        await bench.ensure()
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


async def test_text_becomes_a_binary_in_a_file_of_the_callers(bench: Bench, tmp_path: Path) -> None:
    bench.program(
        "target = int(sys.argv[sys.argv.index('--binary') + 1]); os.write(target, b'abc'); say({'binary': 3})"
    )
    with open(tmp_path / "out", "w+b") as file, blockbuster_ctx("wherry.core"):
        await bench.compiler().binary(str(bench.module), file.fileno())
    assert (tmp_path / "out").read_bytes() == b"abc"
    bench.program(
        "say({'error': {'kind': 'InvalidArgument', 'message': 'm.wat is not WebAssembly text: so'}}); sys.exit(1)"
    )
    with pytest.raises(errors.InvalidArgument, match="is not WebAssembly text: so"):
        await bench.compiler().binary(str(bench.module), 1)
    bench.program("answer()")
    with pytest.raises(errors.Internal, match="exit code 0"):
        await bench.compiler().binary(str(bench.module), 1)


@pytest.mark.parametrize(
    "end", ["os.kill(os.getpid(), 9)", "print('memory allocation of 99 bytes failed', file=sys.stderr); os.abort()"]
)
async def test_a_compiler_that_had_no_memory_left(bench: Bench, end: str) -> None:
    bench.program(end)
    with pytest.raises(errors.ResourceExhausted, match="too much memory"):
        await bench.ensure()


async def test_a_compiler_that_hangs(bench: Bench) -> None:
    bench.program("time.sleep(1000)")
    with pytest.raises(errors.ResourceExhausted, match=r"took over 0\.5 seconds"):
        await bench.ensure(timeout=0.5)


async def test_a_cancelled_compilation_is_killed_and_the_next_caller_does_it(bench: Bench) -> None:
    pid_file = bench.folder / "pid"
    bench.program(
        f"open({str(pid_file)!r}, 'w').write(str(os.getpid()) + '.'); say({{'progress': 'on'}}); time.sleep(1000)"
    )
    compiler = bench.compiler()
    started = asyncio.Event()
    first = asyncio.ensure_future(compiler.ensure(str(bench.module), progress=lambda text: started.set()))
    async with asyncio.timeout(DEADLINE):
        await started.wait()
        second = asyncio.ensure_future(compiler.ensure(str(bench.module)))
        bench.program("answer()")
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert (await second).path == str(bench.compiled)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text().rstrip(".")), 0)


async def test_no_such_file_and_no_such_compiler(bench: Bench) -> None:
    with pytest.raises(errors.NotFound, match="no such file"):
        await bench.compiler().ensure("/nonexistent/x.wasm")
    broken = SubprocessCompiler(CompilerConfig("/c", "/l", ("/nonexistent/python",)))
    with pytest.raises(errors.Internal, match="cannot run the compiler"):
        await broken.ensure(str(bench.module))
    assert json.dumps(bench.runs()) == "[]"


async def test_what_a_killed_compiler_left_half_written_is_removed(bench: Bench, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / ".tmp-1-other").write_bytes(b"")
    bench.cache = str(cache)
    bench.program(f"open({str(cache)!r} + f'/.tmp-{{os.getpid()}}-ab', 'w'); say({{'progress': ''}}); time.sleep(60)")
    with pytest.raises(errors.ResourceExhausted, match="to compile"):
        await bench.ensure(timeout=2)
    assert [path.name for path in cache.iterdir()] == [".tmp-1-other"]
