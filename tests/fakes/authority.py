"""A certificate authority for tests of TLS, by openssl."""

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Authority:
    """A CA, a server's and a client's certificate."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> "Authority":
        made = cls(folder)
        new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        made._openssl(*"req -x509 -days 2 -keyout ca.key -out ca.crt -subj /CN=tests".split(), *new)
        for name, subject in (("server", "/CN=127.0.0.1"), ("client", "/CN=me")):
            made._openssl("req", *new, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", subject)
            (folder / "ext").write_text("subjectAltName=IP:127.0.0.1\n")
            signed = "x509 -req -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile ext".split()
            made._openssl(*signed, "-in", f"{name}.csr", "-out", f"{name}.crt")
        return made

    def _openssl(self, *words: str) -> None:
        done = subprocess.run(["openssl", *words], cwd=self.folder, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr

    def __getitem__(self, name: str) -> Path:
        return self.folder / name
