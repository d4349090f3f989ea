"""A certificate authority for tests of TLS, by openssl."""

import datetime
import subprocess
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256


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

    def sign(self, name: str, *names: x509.GeneralName, days: int = 2) -> None:
        """A further server's certificate for ``names``, from a week ago on; with ``days`` below 0 it has expired."""
        issuer = x509.load_pem_x509_certificate(self["ca.crt"].read_bytes())
        signer = serialization.load_pem_private_key(self["ca.key"].read_bytes(), None)
        assert isinstance(signer, ec.EllipticCurvePrivateKey)
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.now(datetime.UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(issuer.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=7))
            .not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(x509.SubjectAlternativeName(names), critical=True)
            .sign(signer, SHA256())
        )
        plain = serialization.NoEncryption()
        pem = serialization.Encoding.PEM
        self[f"{name}.key"].write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
        self[f"{name}.crt"].write_bytes(made.public_bytes(pem))

    def __getitem__(self, name: str) -> Path:
        return self.folder / name
