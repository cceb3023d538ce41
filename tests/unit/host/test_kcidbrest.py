"""Where KCIDB_REST leads, and that it is never repeated: it holds a token."""

import pytest

from harness.errors import ConfigError
from harness.host.kcidbrest import rest_service

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://t0ken@kcidb.example.org", "https://kcidb.example.org/submit"),
        ("https://t0ken@kcidb.example.org/submit", "https://kcidb.example.org/submit"),
        ("https://t0ken@kcidb.example.org:8443/v1/", "https://kcidb.example.org:8443/v1/submit"),
        ("http://t0ken@127.0.0.1:8080", "http://127.0.0.1:8080/submit"),
        ("http://t0ken@[::1]:8080", "http://[::1]:8080/submit"),
    ],
)
def test_as_kci_dev_takes_it(text: str, url: str) -> None:
    service = rest_service(text)
    assert (service.url, service.token) == (url, "t0ken")
    assert "t0ken" not in repr(service)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "names no host"),
        ("https://kcidb.example.org", "names no token"),
        ("http://t0ken@kcidb.example.org", "no https://"),
        ("file://t0ken@host/etc/passwd", "no https://"),
        ("https://t0ken@kcidb.example.org:port", "no address"),
        ("https://t0ken%0d%0aX-Other:1@kcidb.example.org", "characters that no token has"),
        ("t0ken", "names no host"),
    ],
)
def test_anything_else_is_refused_without_being_shown(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as refused:
        rest_service(text)
    assert "t0ken" not in str(refused.value)
    assert "kci-dev" in refused.value.remedy
