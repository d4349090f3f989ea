"""``wherry sbom``."""

import click

from wherry.cli import refs
from wherry.cli.app import App
from wherry.cli.command import command as declare
from wherry.cli.complete import images as images_known
from wherry.cli.creating import is_file
from wherry.cli.delivery import deliver


@declare("[OPTIONS] IMAGE|FILE", "Write a bill of materials of the module that an image runs.")
@click.option("--format", "form", type=click.Choice(["spdx", "cyclonedx"]), default="spdx", help="The document's form.")
@click.option("-o", "--output", metavar="FILE", help="Its file; stdout if there is none.")
@click.option("--platform", metavar="OS/ARCH", help="Of this platform's manifest.")
@click.argument("image", shell_complete=images_known)
@click.pass_obj
def command(app: App, image: str, form: str, output: str | None, platform: str | None) -> None:
    """Hashes, producers, imports and exports."""
    if is_file(image):
        from wherry.cli.wasmfile import image_of  # here: it brings hashing and tar

        image = image_of(app, image)
    path, query = refs.image(image, "/sbom"), {"format": form, "platform": platform}
    if output:
        deliver(app, path, query, output, "write a document")
    else:
        print(app.client.text("GET", path, query).decode(), end="")
