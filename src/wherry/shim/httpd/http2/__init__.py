"""HTTP/2 for a container's server: what runs in the process beside it. Loaded there alone: see shelf.py."""
