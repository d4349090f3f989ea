"""The names of all socket functions, whatever their dialect: a meter counts each in a word of its own, in this order.

Who counts and who shows the counts both look here; what the functions are stands in sock_table.py.
"""

_OPTIONS = (
    "linger ip_multicast_loop recv_buf_size send_buf_size reuse_addr reuse_port keep_alive broadcast tcp_no_delay "
    "tcp_quick_ack tcp_keep_idle tcp_keep_intvl tcp_fastopen_connect ip_ttl ip_multicast_ttl ipv6_only recv_timeout "
    "send_timeout"
).split()

SOCKETS = (
    *(
        "sock_accept sock_recv sock_send sock_shutdown sock_open sock_bind sock_listen sock_connect sock_recv_from "
        "sock_send_to sock_getlocaladdr sock_getpeeraddr sock_getsockopt sock_setsockopt sock_getaddrinfo "
        "sock_open_v2 sock_bind_v2 sock_listen_v2 sock_accept_v2 sock_connect_v2 sock_recv_v2 sock_recv_from_v2 "
        "sock_send_v2 sock_send_to_v2 sock_getlocaladdr_v2 sock_getpeeraddr_v2 "
        "sock_close sock_addr_local sock_addr_remote sock_addr_resolve "
        "sock_set_ip_add_membership sock_set_ip_drop_membership"
    ).split(),
    *(f"sock_{verb}_{option}" for option in _OPTIONS for verb in ("get", "set")),
)
