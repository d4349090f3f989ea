"""The table of commands: every name that can be typed, where its code is, and its line in ``--help``."""

import click

from wherry import __version__
from wherry.cli.app import App
from wherry.cli.command import Entry, LazyGroup

_MORE = "More on containers"
_IMAGES = "More on images"
_ENGINE = "The engine"

CONTAINER = {
    "attach": Entry("attach", "Attach to a running container"),
    "commit": Entry("makings", "Make an image of a container's changes", "commit"),
    "cp": Entry("cp", "Copy files between a container and here"),
    "create": Entry("create", "Create a new container"),
    "diff": Entry("makings", "Show what a container changed in its files", "diff"),
    "exec": Entry("exec", "Execute a command in a running container"),
    "export": Entry("makings", "Write a container's files as an archive", "export"),
    "inspect": Entry("inspect", "Display details of containers", "container_inspect"),
    "kill": Entry("kill", "Kill running containers"),
    "logs": Entry("logs", "Fetch the logs of a container"),
    "ls": Entry("ps", "List containers"),
    "pause": Entry("pause", "Pause containers"),
    "port": Entry("network", "Show where the host has a container's ports", "port"),
    "prune": Entry("prune", "Remove all stopped containers", "container_prune"),
    "rename": Entry("rename", "Rename a container"),
    "restart": Entry("stop", "Restart containers", "restart"),
    "rm": Entry("rm", "Remove containers"),
    "run": Entry("run", "Create and run a new container from an image"),
    "start": Entry("start", "Start stopped containers"),
    "stats": Entry("stats", "Show resource usage"),
    "stop": Entry("stop", "Stop running containers"),
    "top": Entry("top", "Display the processes of a container"),
    "unpause": Entry("pause", "Unpause containers", "unpause"),
    "update": Entry("update", "Change limits and the restart policy"),
    "wait": Entry("wait", "Wait for containers to stop"),
}
IMAGE = {
    "build": Entry("build", "Build an image from a Dockerfile"),
    "history": Entry("history", "Show the history of an image"),
    "import": Entry("makings", "Make an image of an archive of files", "import_"),
    "inspect": Entry("inspect", "Display details of images", "image_inspect"),
    "load": Entry("save", "Load images from an archive", "load"),
    "ls": Entry("images", "List images"),
    "prune": Entry("prune", "Remove unused images", "image_prune"),
    "export-module": Entry("manifest", "Write the module of an image to a file", "export_module"),
    "pull": Entry("pull", "Download an image"),
    "push": Entry("push", "Upload an image"),
    "rm": Entry("rmi", "Remove images"),
    "save": Entry("save", "Save images to an archive"),
    "tag": Entry("tag", "Give an image another name"),
}
NETWORK = {
    "connect": Entry("network", "Put a container into a network", "connect"),
    "create": Entry("network", "Create a network", "create"),
    "disconnect": Entry("network", "Take a container out of a network", "disconnect"),
    "inspect": Entry("inspect", "Display details of networks", "network_inspect"),
    "ls": Entry("network", "List networks", "ls"),
    "prune": Entry("prune", "Remove networks that no container uses", "network_prune"),
    "rm": Entry("network", "Remove networks", "rm"),
}
VOLUME = {
    "create": Entry("volume", "Create a volume", "create"),
    "inspect": Entry("inspect", "Display details of volumes", "volume_inspect"),
    "ls": Entry("volume", "List volumes", "ls"),
    "prune": Entry("prune", "Remove volumes that no container has", "volume_prune"),
    "rm": Entry("volume", "Remove volumes", "rm"),
}
MANIFEST = {"inspect": Entry("manifest", "Display an image's manifest at a registry", "inspect")}
SYSTEM = {
    "check": Entry("check", "Verify everything that the engine keeps"),
    "df": Entry("df", "Show disk usage"),
    "events": Entry("events", "Follow what happens in the engine"),
    "info": Entry("info", "Display system-wide information"),
    "prune": Entry("prune", "Remove unused data", "system_prune"),
}

ROOT = {
    "run": Entry("run", "Run a container from an image, or from a .wasm file", section="Common commands"),
    "serve": Entry("serve", "Answer HTTP with a .wasm file, and its changes at once", section="Common commands"),
    "compile": Entry("compile", "Compile C and C++ to a WebAssembly module", section="Common commands"),
    "build": Entry("build", "Build an image from a Dockerfile", section="Common commands"),
    "ps": Entry("ps", "List containers", section="Common commands"),
    "images": Entry("images", "List images", section="Common commands"),
    "logs": Entry("logs", "Fetch the logs of a container", section="Common commands"),
    "stop": Entry("stop", "Stop running containers", section="Common commands"),
    "rm": Entry("rm", "Remove containers", section="Common commands"),
    "inspect": Entry("inspect", "Show everything about containers or images", section="Common commands"),
    "env": Entry("env", "Print the DOCKER_HOST for the docker CLI; starts the engine", section="Common commands"),
    **{
        name: Entry(module, "", attribute, _MORE)
        for name, module, attribute in (
            ("attach", "attach", "command"),
            ("commit", "makings", "commit"),
            ("cp", "cp", "command"),
            ("create", "create", "command"),
            ("diff", "makings", "diff"),
            ("exec", "exec", "command"),
            ("export", "makings", "export"),
            ("kill", "kill", "command"),
            ("pause", "pause", "command"),
            ("port", "network", "port"),
            ("rename", "rename", "command"),
            ("restart", "stop", "restart"),
            ("start", "start", "command"),
            ("stats", "stats", "command"),
            ("top", "top", "command"),
            ("unpause", "pause", "unpause"),
            ("update", "update", "command"),
            ("wait", "wait", "command"),
        )
    },
    **{name: Entry(name, "", section=_IMAGES) for name in ("history", "login", "pull", "push", "rmi", "save", "tag")},
    "load": Entry("save", "", "load", _IMAGES),
    "sbom": Entry("sbom", "", section=_IMAGES),
    "import": Entry("makings", "", "import_", _IMAGES),
    "logout": Entry("login", "", "logout", _IMAGES),
    **{name: Entry(name, "", section=_ENGINE) for name in ("events", "info", "version", "completion")},
    "container": Entry("groups", "", "container", "Groups, as docker has them"),
    "manifest": Entry("groups", "", "manifest", "Groups, as docker has them"),
    "image": Entry("groups", "", "image", "Groups, as docker has them"),
    "network": Entry("groups", "", "network", "Groups, as docker has them"),
    "volume": Entry("groups", "", "volume", "Groups, as docker has them"),
    "system": Entry("groups", "", "system", "Groups, as docker has them"),
}


@click.group(
    cls=LazyGroup,
    entries=ROOT,
    help="WebAssembly modules as containers, beside Linux containers.",
    context_settings={"help_option_names": ["--help"], "max_content_width": 100},
    invoke_without_command=True,
)
@click.option("-H", "--host", metavar="ADDRESS", help="The engine: unix:///PATH or tcp://127.0.0.1:PORT.")
@click.option("-v", "--version", is_flag=True, help="Print the version and exit.")
@click.pass_context
def root(ctx: click.Context, host: str | None, version: bool) -> int | None:
    """Take the global options; show the help when nothing else was asked for."""
    app = ctx.ensure_object(App)
    app.host = host
    if version:
        click.echo(f"wherry version {__version__}")
        return 0
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
    return 0
