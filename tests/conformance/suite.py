"""wasi-testsuite's preview 1 programs, all 72, and ours that ask the same.

Its compiled programs are in no registry, so each has a case of the same name in one of our C programs. The names are
those of https://github.com/WebAssembly/wasi-testsuite (tests/assemblyscript, tests/c, tests/rust/wasm32-wasip1).
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Case:
    """``name`` is theirs; ``program`` is our C file, run with ``args`` (the case's name first, but where there must be
    no argument) and ``environ``; it must end with ``code`` and have written ``stdout``. ``rootfs``: it needs one.
    ``oracle`` is what wasmtime's own host does otherwise."""

    name: str
    program: str
    args: tuple[str, ...] = ()
    environ: tuple[str, ...] = ()
    code: int = 0
    stdout: str = ""
    rootfs: bool = True
    oracle: str = ""


_WORDS = ("first", 'the "second"', "3")
_VARIABLES = ("a=text", 'b=escap " ing', "c=new\nline")

# What is not plainly (name,) run: arguments, variables, endings.
_ASSEMBLYSCRIPT = (
    Case("args_get-multiple-arguments", "suite_libc.c", ("args_get-multiple-arguments", *_WORDS)),
    Case("args_sizes_get-multiple-arguments", "suite_libc.c", ("args_sizes_get-multiple-arguments", *_WORDS)),
    Case("args_sizes_get-no-arguments", "suite_libc.c"),
    Case("environ_get-multiple-variables", "suite_libc.c", ("environ_get-multiple-variables",), _VARIABLES),
    Case("environ_sizes_get-multiple-variables", "suite_libc.c", ("environ_sizes_get-multiple-variables",), _VARIABLES),
    Case("environ_sizes_get-no-variables", "suite_libc.c", ("environ_sizes_get-no-variables",)),
    Case("fd_write-to-invalid-fd", "suite_libc.c", ("fd_write-to-invalid-fd",)),
    Case("fd_write-to-stdout", "suite_libc.c", ("fd_write-to-stdout",), stdout="hello"),
    Case("proc_exit-failure", "suite_libc.c", ("proc_exit-failure",), code=33),
    Case("proc_exit-success", "suite_libc.c", ("proc_exit-success",)),
    Case("random_get-non-zero-length", "suite_libc.c", ("random_get-non-zero-length",)),
    Case("random_get-zero-length", "suite_libc.c", ("random_get-zero-length",)),
)

_C = (
    "clock_getres-monotonic clock_getres-realtime clock_gettime-monotonic clock_gettime-realtime fdopendir-with-access "
    "fopen-with-access fopen-with-no-access lseek pread-with-access pwrite-with-access pwrite-with-append "
    "sock_shutdown-invalid_fd sock_shutdown-not_sock stat-dev-ino"
).split()

_RUST_DESCRIPTORS = (
    "big_random_buf clock_time_get close_preopen dir_fd_op_failures directory_seek fd_advise fd_fdstat_set_rights "
    "fd_filestat_set fd_flags_set fd_readdir file_allocate file_pread_pwrite file_seek_tell file_truncation "
    "file_unbuffered_write fstflags_validate isatty overwrite_preopen poll_oneoff_stdio renumber sched_yield stdio"
).split()

_RUST_PATHS = (
    "dangling_fd dangling_symlink interesting_paths nofollow_errors path_exists path_filestat path_link "
    "path_open_create_existing path_open_dirfd_not_dir path_open_missing path_open_nonblock path_open_preopen "
    "path_open_read_write path_rename path_rename_dir_trailing_slashes path_symlink_trailing_slashes readlink "
    "remove_directory_trailing_slashes remove_nonempty_directory symlink_create symlink_filestat symlink_loop "
    "truncation_rights unlink_file_trailing_slashes"
).split()

_ORACLE = {
    "fd_fdstat_set_rights": "knows no rights",
    "file_allocate": "answers notsup",
    "fd_advise": "answers notsup to fd_allocate",
    "path_filestat": "does not open files with SYNC",
    "path_link": "tells rights that differ from one open to the next",
    "remove_directory_trailing_slashes": "does not remove a folder called with a trailing slash below another",
    "truncation_rights": "knows no rights",
}

CASES: tuple[Case, ...] = (
    *_ASSEMBLYSCRIPT,
    *(Case(name, "suite_libc.c", (name,), rootfs=name != "fopen-with-no-access") for name in _C),
    *(Case(name, "suite_descriptors.c", (name,), oracle=_ORACLE.get(name, "")) for name in _RUST_DESCRIPTORS),
    *(Case(name, "suite_paths.c", (name,), oracle=_ORACLE.get(name, "")) for name in _RUST_PATHS),
)
