"""wasi:http for components: messages, their headers and bodies, and asking others. Whoever reads and writes a client's
connection is outside of this: see `bodies.Source` and `messages.Answering`."""
