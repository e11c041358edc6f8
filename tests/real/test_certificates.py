"""Files with certificates: what is wrong with them, and when they are read again."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from structlog.testing import capture_logs

from cluster.cli.certificates import Authority, Issued
from cluster.real.certificates import Certificates, Files, Unusable


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """One of the test's own."""
    return Authority.make(tmp_path)


def files_of(issued: Issued, authority: Authority) -> Files:
    """Where they are."""
    return Files(str(issued.cert_file), str(issued.key_file), str(authority.ca_file))


def test_new_files_are_read_at_the_next_look(authority: Authority) -> None:
    """And nothing is read as long as there are none."""
    files = files_of(authority.issue("one"), authority)
    certificates = Certificates(files)
    before = certificates.pems
    assert (1, 1) == (certificates.look(), certificates.look())
    assert before is certificates.pems
    authority.issue("one")
    assert (2, 2) == (certificates.look(), certificates.look())
    assert before.cert != certificates.pems.cert == Path(files.cert).read_bytes()


def test_half_of_a_new_set_is_not_taken(authority: Authority) -> None:
    """The certificate is there, its key not yet: the old ones go on, it is said once, and then the new ones do."""
    issued = authority.issue("one")
    certificates = Certificates(files_of(issued, authority))
    before = certificates.pems
    other = authority.issue("other")
    issued.cert_file.write_bytes(other.cert_file.read_bytes())
    with capture_logs() as logs:
        assert [1, 1] == [certificates.look() for _ in range(2)]
    assert ["certificates_unusable"] == [event["event"] for event in logs]
    assert f"the key {issued.key_file} does not fit the certificate {issued.cert_file}" == logs[0]["detail"]
    assert before is certificates.pems
    issued.key_file.write_bytes(other.key_file.read_bytes())
    assert 2 == certificates.look()
    assert other.cert_file.read_bytes() == certificates.pems.cert


def test_files_that_vanish_change_nothing(authority: Authority) -> None:
    """Somebody is replacing them."""
    issued = authority.issue("one")
    certificates = Certificates(files_of(issued, authority))
    content = issued.key_file.read_bytes()
    issued.key_file.unlink()
    assert 1 == certificates.look()
    issued.key_file.write_bytes(content)
    assert 2 == certificates.look()


def test_what_is_refused_later_is_not_taken(authority: Authority) -> None:
    """Whoever uses them has the last word."""
    issued = authority.issue("one")
    first = issued.cert_file.read_bytes()

    def check(pems) -> None:
        if pems.cert != first:
            raise Unusable("another one")

    certificates = Certificates(files_of(issued, authority), check)
    authority.issue("one")
    assert 1 == certificates.look()
    assert first == certificates.pems.cert


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda one: one._replace(cert="/nowhere"), "cannot read /nowhere: No such file or directory"),
        (lambda one: one._replace(cert=""), r"there is a key \(.*one\.key\) without its certificate"),
        (lambda one: one._replace(key=""), r"there is a certificate \(.*one\.crt\) without its key"),
        (lambda one: one._replace(ca=one.key), r"one\.key holds no certificate \(PEM\)"),
        (lambda one: one._replace(key=one.cert), r"one\.crt holds no private key \(PEM\)"),
        (lambda one: one._replace(key=one.key.replace("one", "other")), "does not fit the certificate"),
    ],
)
def test_what_cannot_be_used_is_named(authority: Authority, wrong, says: str) -> None:
    """By its path."""
    authority.issue("other")
    with pytest.raises(Unusable, match=says):
        Certificates(wrong(files_of(authority.issue("one"), authority)))


def test_a_key_with_a_passphrase_is_refused(authority: Authority) -> None:
    """Nobody would be there to type it."""
    issued = authority.issue("one")
    key = serialization.load_pem_private_key(issued.key_file.read_bytes(), None)
    issued.key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(Unusable, match="has a passphrase"):
        Certificates(files_of(issued, authority))
