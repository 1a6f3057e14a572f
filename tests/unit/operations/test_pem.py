"""Keys read from PEM: what is taken, and what contradicts itself."""

import base64
from datetime import datetime
from functools import cache
from typing import Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from runner.operations import pem

#: As PKCS #1 has them (RFC 8017, appendix A.1.2).
ORDER: Final = ("n", "e", "d", "p", "q", "dmp1", "dmq1", "iqmp")


@cache
def good() -> dict[str, int]:
    """The numbers of an RSA key."""
    key = rsa.generate_private_key(65537, 2048).private_numbers()
    public = {"n": key.public_numbers.n, "e": key.public_numbers.e}
    return public | {name: getattr(key, name) for name in ORDER[2:]}


def written(numbers: dict[str, int]) -> str:
    """A private key of these numbers, whatever they are."""
    body = b"".join(_integer(number) for number in (0, *(numbers[name] for name in ORDER)))
    text = base64.encodebytes(_tagged(0x30, body)).decode()
    return f"-----BEGIN RSA PRIVATE KEY-----\n{text}-----END RSA PRIVATE KEY-----\n"


def _integer(number: int) -> bytes:
    return _tagged(2, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def _tagged(tag: int, body: bytes) -> bytes:
    """DER, with as few bytes of length as there can be."""
    size = len(body)
    more = size.to_bytes((size.bit_length() + 7) // 8, "big")
    length = bytes((size,)) if size < 0x80 else bytes((0x80 | len(more),)) + more
    return bytes((tag,)) + length + body


def test_a_private_rsa_key_is_read() -> None:
    """All its numbers are those that were written."""
    key = pem.read(written(good()))

    assert key.private_numbers().d == good()["d"]
    assert key.public_key().public_numbers().n == good()["n"]


@pytest.mark.parametrize("change", [-2, -1, 1, 2])
@pytest.mark.parametrize("name", ORDER)
def test_an_rsa_key_with_another_number_is_refused(name: str, change: int) -> None:
    """Each is looked at: with a wrong one OpenSSL may sign wrongly, or not come to an end."""
    assert pem.read(written(good() | {name: good()[name] + change})) is None


@pytest.mark.parametrize("name", ORDER)
@pytest.mark.parametrize("value", [0, 1, 2])
def test_an_rsa_key_with_a_tiny_number_is_refused(name: str, value: int) -> None:
    """Nothing is divided by what may be zero."""
    assert pem.read(written(good() | {name: value})) is None


def test_an_even_rsa_key_is_refused() -> None:
    """Also where its numbers would belong together."""
    p, q = good()["p"], good()["q"] + 1
    crt = {"dmp1": good()["d"] % (p - 1), "dmq1": good()["d"] % (q - 1), "iqmp": pow(q, -1, p)}

    assert pem.read(written(good() | crt | {"q": q, "n": p * q})) is None


def test_an_rsa_key_of_one_factor_and_one_is_refused() -> None:
    """p = n and q = 1 multiply to n, too."""
    factors = {"p": good()["n"], "q": 1, "dmq1": 0, "iqmp": 1}

    assert pem.read(written(good() | factors)) is None


def test_an_rsa_key_that_is_too_long_is_refused() -> None:
    """Signing once would hold everything up; its factors need not be prime to be seen."""
    long = {"p": (1 << 4200) + 1, "q": (1 << 4200) + 3}

    assert pem.read(written(good() | long | {"n": long["p"] * long["q"]})) is None


def test_a_certificate_of_a_version_that_there_is_not_is_refused() -> None:
    """X.509 is used in its first version and its third."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x")])
    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1)
    builder = builder.not_valid_before(datetime(2001, 1, 1))
    builder = builder.not_valid_after(datetime(2001, 1, 2))
    third = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)
    second = third.replace(b"\xa0\3\2\1\2", b"\xa0\3\2\1\1", 1)

    assert pem.read(certificate(third)).public_numbers() == key.public_key().public_numbers()
    assert pem.read(certificate(second)) is None


def certificate(data: bytes) -> str:
    """A certificate as PEM."""
    text = base64.encodebytes(data).decode()
    return f"-----BEGIN CERTIFICATE-----\n{text}-----END CERTIFICATE-----\n"


def test_half_a_character_is_no_key() -> None:
    """It is refused as any other text that is none."""
    assert pem.read("-----BEGIN PUBLIC KEY-----\ud800") is None


def test_parameters_before_a_key_do_not_matter() -> None:
    """`openssl ecparam -genkey` writes them."""
    form = PrivateFormat.TraditionalOpenSSL
    key = ec.generate_private_key(ec.SECP256R1())
    text = key.private_bytes(Encoding.PEM, form, NoEncryption()).decode()
    before = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"

    assert pem.read(before + text).private_numbers() == key.private_numbers()
