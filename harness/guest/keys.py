"""SSH keys of one boot: made for it, used once, never written outside its scratch folder."""

from dataclasses import dataclass
from io import StringIO
from typing import Self

import paramiko
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat


@dataclass(frozen=True, slots=True, kw_only=True)
class BootKeys:
    """The key that the harness logs in with, and the host key that it expects."""

    user: paramiko.PKey
    host: paramiko.PKey
    # Files for the guest, by path in its initramfs.
    files: dict[str, bytes]

    @classmethod
    def generate(cls) -> Self:
        """Fresh Ed25519 keys: the cheapest to make and to verify, under emulation too."""
        user, host = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
        host_private = _private(host)
        return cls(
            user=_paramiko(_private(user)),
            host=_paramiko(host_private),
            files={
                "kab/authorized_keys": _public(user),
                "kab/ssh_host_ed25519_key": host_private,
                "kab/ssh_host_ed25519_key.pub": _public(host),
            },
        )


def _private(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())


def _public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH) + b"\n"


def _paramiko(private: bytes) -> paramiko.PKey:
    return paramiko.Ed25519Key.from_private_key(StringIO(private.decode()))
