"""Containers that answer HTTP: a server inside the sandbox, which hands requests to workers. Who answers them is behind
one Protocol, in handler.py: WAGI's programs (wagi/), components of wasi:http.

Loaded only for such containers: `settings` by the shim's server, the rest by the child that becomes the HTTP server.
"""
