"""Components, by npm's jco: handlers of wasi:http, whose core is C without a library, written for the canonical ABI;
and programs, preview 1 modules with an adapter around them."""

import os
from collections.abc import Mapping

from benchmarks import fetched, proc

_TESTS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests", "data")
HANDLER = os.path.join(_TESTS, "proxy_guest.c")
"""The handler's source; with -DHELLO it is the smallest one."""
_WORLD = os.path.join(_TESTS, "proxy_world.wit")
_PACKAGES = "lib/wit/builtin/0.2.12"
_EMBED = """
import { readFileSync, writeFileSync } from "node:fs";
const [api, module, source, target] = process.argv.slice(1);
const jco = await import(api);
await jco.$init;
const options = { binary: readFileSync(module), witSource: readFileSync(source, "utf8"), world: "proxy" };
writeFileSync(target, await jco.componentNew(await jco.componentEmbed(options), []));
"""


def componentize(module: str, target: str, environ: Mapping[str, str]) -> str:
    """The component ``target`` of a module made for the world in proxy_world.wit. FailedPrecondition: no npm, or jco
    failed."""
    jco = fetched.npm(fetched.JCO, environ)
    packages = os.path.join(jco, _PACKAGES)
    texts = [_read(_WORLD)]
    for package in sorted(os.listdir(packages)):  # nested: the tool reads no folders
        first, _, rest = _read(os.path.join(packages, package, "package.wit")).partition(";")
        texts.append(f"{first} {{{rest}}}\n")
    source = f"{target}.wit"
    with open(source, "w", encoding="utf-8") as file:
        file.write("".join(texts))
    api = os.path.join(jco, "dist", "api.js")
    proc.run(
        ["node", "--input-type=module", "-e", _EMBED, "--", api, module, source, target],
        environ,
        f"making a component of {os.path.basename(module)}",
    )
    return target


def command(module: str, target: str, environ: Mapping[str, str]) -> str:
    """The ``wasi:cli/command`` component ``target`` of a preview 1 module. FailedPrecondition."""
    jco = os.path.join(fetched.npm(fetched.JCO, environ), "dist", "jco.js")
    words = ["node", jco, "new", module, "--wasi-command", "-o", target]
    proc.run(words, environ, f"making a component of {os.path.basename(module)}")
    return target


def _read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()
