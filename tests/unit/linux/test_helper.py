"""What is left to a helper process that has shut itself in: a folder."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

_CODE = """
import json, os, signal, socket, sys, threading
from wherry.linux.helper import confine
folder, outside, port, parent = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
confine(folder)

def answer(attempt):
    try:
        attempt()
        return "done"
    except OSError as error:
        return os.strerror(error.errno)

found = {
    "own": answer(lambda: open(folder + "/made", "w").close()),
    "rename": answer(lambda: os.rename(folder + "/made", folder + "/named")),
    "read": answer(lambda: open(outside)),
    "write": answer(lambda: open(outside, "a")),
    "device": answer(lambda: os.mknod(folder + "/zero", 0o020666, os.makedev(1, 5))),
    "execute": answer(lambda: os.execv("/bin/true", ["true"])),
    "connect": answer(lambda: socket.create_connection(("127.0.0.1", port), 5)),
    "kill": answer(lambda: os.kill(parent, 0)),
    "mount": answer(lambda: os.chroot(folder)),
}
thread = threading.Thread(target=lambda: found.update(thread=answer(lambda: open(outside))))
thread.start()
thread.join()
print(json.dumps(found))
"""


def test_a_confined_helper_has_its_folder_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir(mode=0o700)
    (tmp_path / "outside").write_text("secret")
    with socket.create_server(("127.0.0.1", 0)) as server:
        words = [tmp_path / "folder", tmp_path / "outside", server.getsockname()[1], os.getpid()]
        done = subprocess.run(
            [sys.executable, "-c", _CODE, *map(str, words)], capture_output=True, text=True, timeout=60, check=False
        )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found.pop("own"), found.pop("rename")) == ("done", "done")
    refused = {"Permission denied", "Operation not permitted", "Network is unreachable"}
    assert set(found.values()) <= refused, found
    assert found["read"] == found["write"] == found["thread"] == "Permission denied"
    assert (tmp_path / "folder/named").exists()
