"""The guest a zygote runs to warm itself: it takes the ways that a program's start takes.

Of a forked child's first 2 ms most went into touching code and memory for the first time; run in the zygote instead,
the pages are there and shared.
"""

TEXT = b"""
(module
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $args_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ_sizes_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get" (func $environ_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock_time_get (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_prestat_get" (func $fd_prestat_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_prestat_dir_name" (func $fd_prestat_dir_name (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_fdstat_get" (func $fd_fdstat_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_filestat_get" (func $fd_filestat_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_seek" (func $fd_seek (param i32 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_readdir" (func $fd_readdir (param i32 i32 i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $fd_close (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_filestat_get"
    (func $path_filestat_get (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 0) "\\40\\00\\00\\00\\05\\00\\00\\00\\45\\00\\00\\00\\01\\00\\00\\00")  ;; two iovecs
  (data (i32.const 64) "warm\\0a.")
  (func (export "_start")
    (drop (call $args_sizes_get (i32.const 256) (i32.const 260)))
    (drop (call $args_get (i32.const 264) (i32.const 512)))
    (drop (call $environ_sizes_get (i32.const 256) (i32.const 260)))
    (drop (call $environ_get (i32.const 264) (i32.const 512)))
    (drop (call $clock_time_get (i32.const 1) (i64.const 1) (i32.const 256)))
    (drop (call $random_get (i32.const 256) (i32.const 16)))
    (drop (call $fd_prestat_get (i32.const 3) (i32.const 256)))
    (drop (call $fd_prestat_dir_name (i32.const 3) (i32.const 264) (i32.const 1)))
    (drop (call $fd_prestat_get (i32.const 4) (i32.const 256)))
    (drop (call $fd_fdstat_get (i32.const 1) (i32.const 256)))
    (drop (call $fd_filestat_get (i32.const 1) (i32.const 256)))
    (drop (call $fd_seek (i32.const 1) (i64.const 0) (i32.const 1) (i32.const 256)))
    (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 256)))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 256)))
    (drop (call $fd_write (i32.const 2) (i32.const 0) (i32.const 2) (i32.const 256)))
    (drop (call $path_filestat_get (i32.const 3) (i32.const 1) (i32.const 69) (i32.const 1) (i32.const 256)))
    (drop (call $path_open (i32.const 3) (i32.const 1) (i32.const 69) (i32.const 1) (i32.const 2)
      (i64.const 2) (i64.const 2) (i32.const 0) (i32.const 256)))
    (drop (call $fd_readdir (i32.load (i32.const 256)) (i32.const 1024) (i32.const 64) (i64.const 0) (i32.const 260)))
    (drop (call $fd_close (i32.load (i32.const 256))))
    (drop (call $poll_oneoff (i32.const 2048) (i32.const 4096) (i32.const 1) (i32.const 256)))
    (drop (memory.grow (i32.const 1)))
    (i32.store (i32.const 131072) (i32.const 1))
    (drop (call $random_get (i32.const 131072) (i32.const 8)))
    (drop (call $fd_close (i32.const 9))))
  ;; what every program does, and one that waits; nothing is written: a zygote's stdout is not a guest's
  (func (export "rehearse")
    (drop (call $fd_prestat_get (i32.const 9) (i32.const 256)))
    (drop (call $args_sizes_get (i32.const 256) (i32.const 260)))
    (drop (call $fd_fdstat_get (i32.const 1) (i32.const 256)))
    (drop (call $fd_write (i32.const 1) (i32.const 1024) (i32.const 1) (i32.const 256)))
    (drop (call $poll_oneoff (i32.const 2048) (i32.const 4096) (i32.const 1) (i32.const 256)))))
"""
