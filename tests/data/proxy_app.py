"""A Python program as a handler of wasi:http: it answers with what it was asked, in two pieces."""

from componentize_py_types import Ok
from wit_world import exports
from wit_world.imports.types import Fields, OutgoingBody, OutgoingResponse, ResponseOutparam


class IncomingHandler(exports.IncomingHandler):
    def handle(self, request, response_out):
        path = request.path_with_query()
        if path == "/raise":
            raise ValueError("raised")
        names = sorted(name for name, _ in request.headers().entries())
        response = OutgoingResponse(Fields.from_list([("content-type", b"text/plain")]))
        body = response.body()
        ResponseOutparam.set(response_out, Ok(response))
        stream = body.write()
        stream.blocking_write_and_flush(f"{path}\n".encode())
        stream.blocking_write_and_flush(" ".join(names).encode())
        stream.__exit__(None, None, None)
        OutgoingBody.finish(body, None)
