"""What SIGHUP does: the configuration is read again, and what can change while containers run, does.

Source: https://docs.docker.com/reference/cli/dockerd/#configuration-reload-behavior.
"""

import asyncio
import json
import logging
import os
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Final

from wherry.daemon.config import DaemonConfig
from wherry.engine import machine
from wherry.engine.engine import Engine
from wherry.engine.services import Adjustable
from wherry.errors import WherryError

log = logging.getLogger("wherryd")
LIVE: Final = ("log_level", "registries", "log_driver", "log_options", "labels")
"""Fields of `DaemonConfig` that a reload changes; of registries all but the folders of CAs."""


def adjustable(config: DaemonConfig) -> Adjustable:
    """What the engine may see changed."""
    return Adjustable(
        log_driver=config.log_driver,
        log_options=config.log_options,
        registries=config.registries,
        labels=config.labels,
        debug=config.log_level == "debug",
    )


class Reloader:
    """``parse`` reads the configuration anew; it blocks. Calls do not overlap: one task makes them."""

    def __init__(self, config: DaemonConfig, parse: Callable[[], DaemonConfig], engine: Engine) -> None:
        self._config = config
        self._parse = parse
        self._engine = engine

    async def reload(self) -> None:
        """A wrong configuration changes nothing; the log says what is wrong with it."""
        try:
            wanted = await asyncio.to_thread(self._parse)
            self._engine.services.logs.check(wanted.log_driver, wanted.log_options)
        except WherryError as error:
            log.error("reload: the configuration stays as it was: %s", error)  # noqa: TRY400 - it is the user's, no fault
            return
        new = replace(self._config, **{name: getattr(wanted, name) for name in LIVE})
        if stays := [field.name.replace("_", "-") for field in fields(new) if _differ(field.name, new, wanted)]:
            log.warning("reload: what changed of %s counts when wherryd is started again", ", ".join(stays))
        self._config = new
        self._apply(new)

    def _apply(self, config: DaemonConfig) -> None:
        services = self._engine.services
        services.config.adjustable.become(adjustable(config))
        services.remotes.reconfigure(config.registries)
        logging.getLogger().setLevel(config.log_level.upper())
        log.info("reload: the configuration %s is in force", config.config_file)
        self._engine.events.publish("daemon", "reload", machine.engine_id(config.root), _attributes(config))


def _differ(name: str, one: DaemonConfig, other: DaemonConfig) -> bool:
    return bool(getattr(one, name) != getattr(other, name))


def _attributes(config: DaemonConfig) -> dict[str, str]:
    """What the event says, in moby's words."""
    return {
        "name": os.uname().nodename,
        "debug": str(config.log_level == "debug").lower(),
        "insecure-registries": json.dumps(list(config.registries.insecure)),
        "registry-mirrors": json.dumps(list(config.registries.mirrors)),
        "labels": json.dumps(list(config.labels)),
        "default-log-driver": config.log_driver,
    }
