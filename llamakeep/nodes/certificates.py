"""
Certificates of nodes: each process makes one for itself, and the database has it.

Who connects trusts the certificate in the node's row and no other, so that names,
authorities and clocks do not count.
"""

import secrets
import ssl
import tempfile
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from llamakeep.errors import NodeAddressUnusable

NAME = "llamakeep node"
BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)
NO_END = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""What RFC 5280 gives certificates without an end; this one ends with its process."""


def new_certificate() -> tuple[ssl.SSLContext, str]:
    """
    Make a key and a certificate; it blocks for some milliseconds.

    Returns:
        What a server needs to show the certificate, and the certificate, in PEM.

    Raises:
        NodeAddressUnusable: The package that makes them is not installed.
    """
    try:
        from cryptography import x509  # noqa: PLC0415 - an extra
        from cryptography.hazmat.primitives import (  # noqa: PLC0415
            hashes,
            serialization,
        )
        from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415
    except ImportError as error:
        raise NodeAddressUnusable(
            "LLAMAKEEP_NODE_ADDRESS needs the package that makes certificates: run "
            "`pip install 'llamakeep[postgres]'`, or remove the setting."
        ) from error
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(BEGINNING)
        .not_valid_after(NO_END)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    shown = certificate.public_bytes(serialization.Encoding.PEM)
    # Python reads keys from files alone. It is of no use without this password.
    password = secrets.token_bytes(32).hex().encode()
    encrypted = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(password),
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0  # no session is resumed
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "node.pem"
        path.write_bytes(encrypted + shown)
        context.load_cert_chain(path, password=password)
    return context, shown.decode()


@lru_cache(maxsize=64)
def trusting(certificate: str) -> ssl.SSLContext:
    """Return what a client needs to accept this certificate, and no other."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # it has no name: its row says whose it is
    context.load_verify_locations(cadata=certificate)
    return context
