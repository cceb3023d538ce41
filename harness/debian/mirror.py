"""Whether a Debian mirror answers: one small request, through the proxy and with the certificates that APT uses."""

import shlex
import ssl
import time
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPSHandler, ProxyHandler, Request, build_opener

from harness.errors import HostError
from harness.host.process import run

# Every Debian archive has it, whatever release it is for.
_SUITE = "dists/sid/InRelease"
_TIMEOUT_S = 5.0
_REMEDY = "Another mirror: export KAB_DEBIAN_MIRROR=URI."


def reach(uri: str) -> float:
    """Seconds until the mirror at `uri` (the folder that holds dists/) answered. Raises HostError when it does not."""
    begin = time.monotonic()
    parts = urlsplit(uri)
    if parts.scheme in {"file", "copy"}:
        if not (Path(parts.path) / "dists").is_dir():
            raise HostError(f"the mirror {uri} has no folder dists/", remedy=_REMEDY)
        return time.monotonic() - begin
    settings = _apt_settings()
    # "DIRECT" is APT's word for none, and overrides the environment's.
    proxy = settings.get(f"acquire::{parts.scheme}::proxy::{parts.hostname}") or settings.get(
        f"acquire::{parts.scheme}::proxy"
    )
    handlers: list[ProxyHandler | HTTPSHandler] = []
    if proxy:
        handlers.append(ProxyHandler({} if proxy == "DIRECT" else {parts.scheme: proxy}))
    certificates = settings.get("acquire::https::cainfo")
    if certificates:
        handlers.append(HTTPSHandler(context=ssl.create_default_context(cafile=certificates)))
    request = Request(f"{uri}/{_SUITE}", method="HEAD", headers={"User-Agent": "kab"})  # noqa: S310 - schemes checked
    try:
        with build_opener(*handlers).open(request, timeout=_TIMEOUT_S):
            return time.monotonic() - begin
    except HTTPError as error:
        error.close()
        # A mirror of stable releases alone has no sid, and answers all the same.
        if error.code in {403, 404}:
            return time.monotonic() - begin
        raise HostError(f"the mirror {uri} answers {error.code} {error.reason}", remedy=_REMEDY) from error
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise HostError(f"the mirror {uri} does not answer: {reason}", remedy=_REMEDY) from error


def _apt_settings() -> dict[str, str]:
    """APT's configuration, keys in lower case."""
    found = {}
    for line in run(["apt-config", "dump"], timeout_s=5).stdout.splitlines():
        key, _, value = line.rstrip(";").partition(" ")
        words = shlex.split(value)
        if words and words[0]:
            found[key.lower()] = words[0]
    return found
