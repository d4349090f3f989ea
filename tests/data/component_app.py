"""A Python program as a component: it talks by TCP and UDP, asks for names, and works on files."""

import encodings.idna  # noqa: F401 - what is not imported when it is made a component is not there later
import os
import socket
import sys

from wit_world import exports


def connect(host: str, port: str) -> None:
    with socket.create_connection((host, int(port)), 5) as connection:
        connection.sendall(b"ping")
        print(connection.recv(100).decode())


def serve(port: str) -> None:
    with socket.socket() as listener:
        listener.bind(("0.0.0.0", int(port)))
        listener.listen()
        print("listening", flush=True)
        while True:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"you said " + connection.recv(100))


def udp(host: str, port: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.sendto(b"ping", (host, int(port)))
        print(own.recv(100).decode())


def name(host: str) -> None:
    print(socket.getaddrinfo(host, 80, socket.AF_INET, socket.SOCK_STREAM)[0][4][0])


def files(folder: str) -> None:
    with open(f"{folder}/made", "w") as file:
        file.write("by Python\n")
    with open(f"{folder}/made") as file:
        print(sorted(os.listdir(folder)), file.read().strip())


class Run(exports.Run):
    def run(self) -> None:
        commands = {"connect": connect, "serve": serve, "udp": udp, "name": name, "files": files}
        try:
            commands[sys.argv[1]](*sys.argv[2:])
        except OSError as error:
            print(f"{type(error).__name__}: {error}")
        sys.stdout.flush()
