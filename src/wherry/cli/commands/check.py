"""``wherry system check``."""

import json
import sys
from typing import Any

import click

from wherry.cli.app import App
from wherry.cli.command import command as declare
from wherry.cli.credentials import Logins, headers
from wherry.cli.exits import FAILED
from wherry.errors import Internal


@declare("[OPTIONS]", "Verify every blob, record, snapshot and compiled module of the engine.")
@click.option("--repair", is_flag=True, help="Mend what can be: fetch blobs again, unpack again, drop compiled code.")
@click.option("--format", "style", type=click.Choice(["text", "json"]), default="text", help="text, or a JSON a line.")
@click.pass_obj
def command(app: App, repair: bool, style: str) -> int:
    """One line for each fault; exit code 1 when something is wrong, and stays so."""
    login = headers(Logins(app.environ).all()) if repair else {}
    checked = None
    for message in app.client.stream("POST", "/wherry/check", {"repair": repair or None}, b"", login):
        if style == "json":
            print(json.dumps(message, ensure_ascii=False), flush=True)
        elif fault := message.get("Fault"):
            print(_line(fault), flush=True)
        checked = message.get("Checked") or checked
    if checked is None:
        raise Internal("the engine ended the check before its end: see its log")
    if style == "text":
        print(_summary(checked), file=sys.stderr)
    return FAILED if checked["Faults"] > checked["Repaired"] else 0


def _line(fault: dict[str, Any]) -> str:
    after = "repaired" if fault["Repaired"] else fault["Remedy"]
    return f"{fault['Kind']} {fault['Name']}: {fault['Problem']}: {after}"


def _summary(checked: dict[str, int]) -> str:
    looked = ("Images", "Blobs", "Snapshots", "Containers", "Compiled")
    counted = ", ".join(
        f"{checked[word]} {word.lower() if word != 'Compiled' else 'compiled modules'}" for word in looked
    )
    found = f"{checked['Faults']} faults" if checked["Faults"] else "no faults"
    mended = f", {checked['Repaired']} repaired" if checked["Repaired"] else ""
    return f"{counted}: {found}{mended}"
