"""Certificates that vouch for themselves, for servers on loopback."""

import ssl
import subprocess
from pathlib import Path

import pytest


def make_certificate(folder: Path, *names: str) -> Path:
    """Return a file with a key and a certificate for `names`, such as `IP:::1`."""
    path = folder / "server.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"]
    command += ["-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", "/CN=server"]
    command += ["-addext", f"subjectAltName={','.join(names)}"]
    command += ["-keyout", str(path), "-out", f"{path}.crt"]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=30)
    except FileNotFoundError:
        pytest.skip("There is no openssl here.")
    path.write_text(path.read_text() + path.with_suffix(".pem.crt").read_text())
    return path


def make_expired(certificate: Path) -> None:
    """Let a certificate of `make_certificate` have ended yesterday."""
    command = ["openssl", "x509", "-in", str(certificate), "-days", "-1"]
    command += ["-signkey", str(certificate)]
    ended = subprocess.run(command, check=True, capture_output=True, timeout=30)
    key, begin, _ = certificate.read_text().partition("-----BEGIN CERTIFICATE")
    assert begin
    certificate.write_text(key + ended.stdout.decode())


def context_of(certificate: Path) -> ssl.SSLContext:
    """Return what a server needs to show `certificate`."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context
