"""The functions of ``wasi_snapshot_preview1``: name, signature and who answers. The bodies live in the topics' files.
Sockets are not among them: those stand in sock_table.py, which only guests that have sockets load.

https://github.com/WebAssembly/WASI/blob/main/legacy/preview1/docs.md
"""

from __future__ import annotations

from wherry.record import Record
from wherry.wasm.wasi import args, clock, fs, path, poll, proc, random, readdir, sched

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Callable

MODULE = "wasi_snapshot_preview1"


class HostFunction(Record):
    """A function that guests may import. ``params`` and ``results`` have a letter per value: i is i32, I is i64."""

    name: str
    params: str
    results: str
    call: Callable[..., int]


FUNCTIONS = (
    HostFunction("args_get", "ii", "i", args.args_get),
    HostFunction("args_sizes_get", "ii", "i", args.args_sizes_get),
    HostFunction("environ_get", "ii", "i", args.environ_get),
    HostFunction("environ_sizes_get", "ii", "i", args.environ_sizes_get),
    HostFunction("clock_res_get", "ii", "i", clock.clock_res_get),
    HostFunction("clock_time_get", "iIi", "i", clock.clock_time_get),
    HostFunction("fd_advise", "iIIi", "i", fs.fd_advise),
    HostFunction("fd_allocate", "iII", "i", fs.fd_allocate),
    HostFunction("fd_close", "i", "i", fs.fd_close),
    HostFunction("fd_datasync", "i", "i", fs.fd_datasync),
    HostFunction("fd_fdstat_get", "ii", "i", fs.fd_fdstat_get),
    HostFunction("fd_fdstat_set_flags", "ii", "i", fs.fd_fdstat_set_flags),
    HostFunction("fd_fdstat_set_rights", "iII", "i", fs.fd_fdstat_set_rights),
    HostFunction("fd_filestat_get", "ii", "i", fs.fd_filestat_get),
    HostFunction("fd_filestat_set_size", "iI", "i", fs.fd_filestat_set_size),
    HostFunction("fd_filestat_set_times", "iIIi", "i", fs.fd_filestat_set_times),
    HostFunction("fd_pread", "iiiIi", "i", fs.fd_pread),
    HostFunction("fd_prestat_get", "ii", "i", fs.fd_prestat_get),
    HostFunction("fd_prestat_dir_name", "iii", "i", fs.fd_prestat_dir_name),
    HostFunction("fd_pwrite", "iiiIi", "i", fs.fd_pwrite),
    HostFunction("fd_read", "iiii", "i", fs.fd_read),
    HostFunction("fd_readdir", "iiiIi", "i", readdir.fd_readdir),
    HostFunction("fd_renumber", "ii", "i", fs.fd_renumber),
    HostFunction("fd_seek", "iIii", "i", fs.fd_seek),
    HostFunction("fd_sync", "i", "i", fs.fd_sync),
    HostFunction("fd_tell", "ii", "i", fs.fd_tell),
    HostFunction("fd_write", "iiii", "i", fs.fd_write),
    HostFunction("path_create_directory", "iii", "i", path.path_create_directory),
    HostFunction("path_filestat_get", "iiiii", "i", path.path_filestat_get),
    HostFunction("path_filestat_set_times", "iiiiIIi", "i", path.path_filestat_set_times),
    HostFunction("path_link", "iiiiiii", "i", path.path_link),
    HostFunction("path_open", "iiiiiIIii", "i", path.path_open),
    HostFunction("path_readlink", "iiiiii", "i", path.path_readlink),
    HostFunction("path_remove_directory", "iii", "i", path.path_remove_directory),
    HostFunction("path_rename", "iiiiii", "i", path.path_rename),
    HostFunction("path_symlink", "iiiii", "i", path.path_symlink),
    HostFunction("path_unlink_file", "iii", "i", path.path_unlink_file),
    HostFunction("poll_oneoff", "iiii", "i", poll.poll_oneoff),
    HostFunction("proc_exit", "i", "", proc.proc_exit),
    HostFunction("proc_raise", "i", "i", proc.proc_raise),
    HostFunction("random_get", "ii", "i", random.random_get),
    HostFunction("sched_yield", "", "i", sched.sched_yield),
)
