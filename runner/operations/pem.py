"""Read keys in PEM (RFC 7468), without holding up everything else."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

#: Twice the bits take eight times as long to sign with: 20 ms for 4096.
_MOST_RSA_BITS: Final = 8192


def read(text: str) -> Any:
    """
    The private key, the public key or the key of the certificate that *text* is, or None.

    It is an object of the library cryptography. Of a certificate only the key counts: who issued
    it, and until when it holds, is not asked, as in Node.js.
    """
    # Lazy: comes with PyJWT, which takes 50 ms and more.
    from cryptography import exceptions, x509  # noqa: PLC0415
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415

    readers: tuple[Callable[[bytes], Any], ...] = (
        _private,
        serialization.load_pem_public_key,
        lambda data: x509.load_pem_x509_certificate(data).public_key(),
    )
    # TypeError: it is encrypted.
    unreadable = (ValueError, TypeError, exceptions.UnsupportedAlgorithm, x509.InvalidVersion)
    for reader in readers:
        with suppress(*unreadable):
            return reader(text.encode())
    return None


def _private(data: bytes) -> Any:
    """
    The private key. Raises ValueError, TypeError, UnsupportedAlgorithm.

    The library would test whether the factors of an RSA key are prime. That takes 50 ms for 2048
    bits and 500 ms for 4096, and holds the lock of the interpreter: a thread would not help. All
    else that it tests takes no time, and is tested here, as a key may come from anywhere.
    """
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - as above
    from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415

    key = serialization.load_pem_private_key(data, None, unsafe_skip_rsa_key_validation=True)
    if isinstance(key, rsa.RSAPrivateKey):
        if key.key_size > _MOST_RSA_BITS:
            raise ValueError(f"an RSA key of more than {_MOST_RSA_BITS} bits")
        if not _is_consistent(key.private_numbers()):
            raise ValueError("the numbers of an RSA key contradict each other")
    return key


def _is_consistent(key: Any) -> bool:
    """What RFC 8017 §3.2 says of the numbers of a private key, except that p and q are prime."""
    n, e = key.public_numbers.n, key.public_numbers.e
    return bool(
        min(key.p, key.q, e) > 2
        and max(key.d, e) < n == key.p * key.q
        and n % 2 == 1  # OpenSSL's arithmetic is for odd moduli
        and e * key.d % (key.p - 1) == e * key.d % (key.q - 1) == 1
        and key.dmp1 == key.d % (key.p - 1)
        and key.dmq1 == key.d % (key.q - 1)
        and key.iqmp * key.q % key.p == 1
    )
