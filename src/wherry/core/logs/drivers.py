"""The drivers of logs by name."""

from collections.abc import Mapping

from wherry.core.logs import options as known
from wherry.core.logs.file_log import FileLog
from wherry.core.logs.lines import LOCAL_LINES, json_lines
from wherry.core.logs.log import Log
from wherry.core.logs.none import NoLog
from wherry.core.logs.options import FileOptions
from wherry.core.logs.sending import SyslogLog


class LogDrivers:
    """json-file, local, syslog and none."""

    def check(self, driver: str, options: Mapping[str, str]) -> None:
        """InvalidArgument: no such driver, or options that it does not have."""
        known.check(driver, options)

    async def open(
        self,
        driver: str,
        options: Mapping[str, str],
        path: str,
        *,
        strict: bool = False,
        ledger: str = "",
        attributes: Mapping[str, str] | None = None,
    ) -> Log:
        """See the contract."""
        known.check(driver, options)
        if driver == known.NONE:
            return NoLog()
        if driver == known.LOCAL:
            return _local(path, known.parse_local(options), ledger)
        if driver == known.SYSLOG:
            kept = known.parse_cache(options)
            log = SyslogLog(known.parse_syslog(options), NoLog() if kept is None else _local(path, kept, ledger))
            if strict:
                await log.connect()
            return log
        return FileLog(path, known.parse_json_file(options), format=json_lines(attributes or {}), ledger=ledger)


def _local(path: str, options: FileOptions, ledger: str) -> FileLog:
    return FileLog(path, options, format=LOCAL_LINES, ledger=ledger)
