"""``wherry push``: an image, or a module's file, to a registry."""

import click

from wherry.cli import refs
from wherry.cli.app import App
from wherry.cli.command import command as declare
from wherry.cli.complete import images as images_known
from wherry.cli.creating import is_file
from wherry.cli.credentials import Logins, header
from wherry.cli.layers import follow
from wherry.errors import InvalidArgument
from wherry.oci.reference import Reference


@declare("[OPTIONS] NAME[:TAG]  |  FILE.wasm NAME[:TAG]", "Upload an image, or a module as an image, to a registry.")
@click.option("-a", "--all-tags", is_flag=True, help="All tags of the repository.")
@click.option("--as", "form", metavar="FORM", help="artifact (the CNCF's form of a module), or image (FROM scratch).")
@click.option("--platform", metavar="OS/ARCH", help="Only this platform's manifest.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@click.option("--disable-content-trust", is_flag=True, default=True, hidden=True)
@click.argument("words", nargs=-1, required=True, shell_complete=images_known)
@click.pass_obj
def command(
    app: App,
    /,
    words: tuple[str, ...],
    all_tags: bool,
    form: str | None,
    platform: str | None,
    quiet: bool,
    **_: object,
) -> None:
    """Progress goes to stderr, the name with its digest to stdout."""
    name = _named(app, words)
    reference = Reference.parse_bare(name)
    if all_tags and (reference.tag or reference.digest):
        raise InvalidArgument("tag can't be used with --all-tags/-a")
    query = {
        "tag": None if all_tags else reference.tag or "latest",
        "as": form,
        "platform": platform,
    }
    login = header(Logins(app.environ).of_image(name))
    path = refs.image(reference.familiar_name, "/push")
    told = follow(app.client.stream("POST", path, query, b"", login), quiet=quiet)
    shown = reference.familiar_name
    print(f"{shown}@{told['Digest']}" if told.get("Digest") and not all_tags else shown)


def _named(app: App, words: tuple[str, ...]) -> str:
    """The name to push; of a file, an image of that name is made first."""
    if len(words) == 1:
        if is_file(words[0]):
            raise InvalidArgument(f"{words[0]} is a file: say under which name, as in wherry push {words[0]} HOST/NAME")
        return words[0]
    if len(words) > 2 or not is_file(words[0]):
        raise InvalidArgument("\"wherry push\" takes an image's name, or a module's file and a name")
    # Imported only here: hashing and tar would cost every other push their time.
    from wherry.cli.wasmfile import image_of

    reference = Reference.parse(words[1])
    if reference.digest is not None:
        raise InvalidArgument("cannot push a digest reference")
    query = {"repo": reference.familiar_name, "tag": reference.tag}
    app.client.call("POST", refs.image(image_of(app, words[0]), "/tag"), query)
    return reference.familiar()
