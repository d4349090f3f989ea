"""Components of wasi:http/proxy as handlers of the server in httpd/: a new instance for each request, or one for some.

Loaded only by the child that becomes such a server.
"""
