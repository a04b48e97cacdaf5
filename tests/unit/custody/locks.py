"""A lock that is quick, for tests of what is done with locks."""

import os
from types import SimpleNamespace

import pytest

from orrery.custody import age


def quick_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock that is no lock, in the place of one that takes seconds on purpose."""

    class WrongPassphraseError(Exception):
        pass

    def encrypt(data: bytes, passphrase: str) -> bytes:
        salt = os.urandom(4)
        return salt + passphrase.encode() + b"\0" + bytes(byte ^ salt[0] for byte in data)

    def decrypt(data: bytes, passphrase: str) -> bytes:
        salt, (used, _, rest) = data[:4], data[4:].partition(b"\0")
        if used != passphrase.encode():
            raise WrongPassphraseError
        return bytes(byte ^ salt[0] for byte in rest)

    fake = SimpleNamespace(
        passphrase=SimpleNamespace(encrypt=encrypt, decrypt=decrypt),
        DecryptError=WrongPassphraseError,
    )
    monkeypatch.setattr(age, "_pyrage", lambda: fake)
