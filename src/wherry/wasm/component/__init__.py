"""Components: what they import in WASI 0.2's words, and a host of our own for that. Beside preview 1, over the same
descriptors and sockets (wasm/wasi/). The compiler loads names, wit and types; a child whose program is one the rest."""
