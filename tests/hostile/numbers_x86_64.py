"""Numbers of system calls that wherry itself has no use for: x86-64's, for the attempts."""

import re

# Source: the kernel's arch/x86/entry/syscalls/syscall_64.tbl
MORE = {
    name: int(number)
    for name, number in re.findall(
        r"(\w+) (\d+)",
        """
        fork 57 vfork 58 wait4 61 waitid 247 shmget 29 shmat 30 semget 64 msgget 68 mq_open 240 setuid 105 setgid 106
        setreuid 113 setregid 114 setgroups 116 setresuid 117 setresgid 119 setfsuid 122 setsid 112 setpgid 109
        personality 135 iopl 172 ioperm 173 modify_ldt 154 arch_prctl 158 swapon 167 swapoff 168 setdomainname 171
        delete_module 176 quotactl 179 acct 163 syslog 103 settimeofday 164 adjtimex 159 clock_settime 227
        clock_adjtime 305 vhangup 153 name_to_handle_at 303 open_by_handle_at 304 process_vm_writev 311 kcmp 312
        kexec_file_load 320 process_madvise 440 process_mrelease 448 pidfd_getfd 438 get_robust_list 274
        rt_sigqueueinfo 129 rt_tgsigqueueinfo 297 setpriority 141 sched_setscheduler 144 sched_setaffinity 203
        sched_setattr 314 ioprio_set 251 migrate_pages 256 move_pages 279 mbind 237 set_mempolicy 238 mlockall 151
        mlock2 325 memfd_secret 447 pkey_alloc 330 pkey_mprotect 329 remap_file_pages 216 fsmount 432 fspick 433
        fsconfig 431 request_key 249 io_uring_enter 426 io_uring_register 427 io_setup 206 fanotify_init 300
        inotify_init1 294 inotify_init 253 signalfd4 289 timer_create 222 setitimer 38 alarm 37 pause 34 chdir 80
        fchdir 81 rename 82 mkdir 83 creat 85 link 86 unlink 87 symlink 88 chmod 90 chown 92 lchown 94 umask 95
        mknod 133 setxattr 188
        fsetxattr 190 setxattrat 463 getxattr 191 truncate 76 utime 132 flock 73 sync 162 syncfs 306
        splice 275 tee 276 vmsplice 278 sendfile 40 lookup_dcookie 212 uselib 134 ustat 136 sysfs 139 setrlimit 160
        getpgid 121 getsid 124 sendmmsg 307 recvmmsg 299 fchmodat2 452 statmount 457 listmount 458 lsm_set_self_attr 460
        landlock_create_ruleset 444 set_tid_address 218 cachestat 451 map_shadow_stack 453 futex_waitv 449
        """,
    )
}
