"""WAGI: CGI programs as modules, a new instance for each request. One kind of handler for the server in httpd/.

Loaded only for such containers: `plan` by the shim's server, the rest by the child that becomes the HTTP server.
"""
