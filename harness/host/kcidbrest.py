"""One POST to KCIDB's REST service, which takes reports from those who have a token."""

import ipaddress
import queue
import threading
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPMessage
from typing import IO
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from harness.errors import ConfigError, HostError, KabError
from harness.parse.foreign import printable

VARIABLE = "KCIDB_REST"
_ENDPOINT = "/submit"
_TIMEOUT_S = 30.0
_MOST_OF_ANSWER = 2000
_LATER = "Try again later: the report has the same ids then."
_REMEDY = f"Set {VARIABLE}=https://TOKEN@HOST, as kci-dev takes it; KernelCI's people give tokens."


@dataclass(frozen=True, slots=True, kw_only=True)
class RestService:
    """Where to submit to. The token is never shown."""

    url: str
    host: str
    token: str = field(repr=False)


def rest_service(text: str) -> RestService:
    """Read ``https://TOKEN@HOST[:PORT][/submit]``. Raises ConfigError, which does not repeat it."""
    try:
        parts = urlsplit(text.strip())
        port = f":{parts.port}" if parts.port else ""
    except ValueError as error:
        raise ConfigError(f"{VARIABLE} is no address", remedy=_REMEDY) from error
    host = parts.hostname or ""
    if not host or not parts.username:
        raise ConfigError(f"{VARIABLE} names no {'token' if host else 'host'}", remedy=_REMEDY)
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host)):
        raise ConfigError(f"{VARIABLE} is no https:// address: the token would be seen on its way", remedy=_REMEDY)
    token = unquote(parts.username)
    if not token.isascii() or not token.isprintable():
        raise ConfigError(f"the token in {VARIABLE} has characters that no token has", remedy=_REMEDY)
    path = parts.path.rstrip("/")
    if not path.endswith(_ENDPOINT):
        path += _ENDPOINT
    address = f"[{host}]" if ":" in host else host
    return RestService(url=urlunsplit((parts.scheme, f"{address}{port}", path, "", "")), host=host, token=token)


def submit(service: RestService, document: str, *, timeout_s: float = _TIMEOUT_S) -> str:
    """POST a report and return what the service answers, in a line. It is tried once, and for so long in all.

    Raises ConfigError where the service refuses the token or the report, HostError where it cannot be reached, fails,
    or sends elsewhere, where the token is not for.
    """
    answers: queue.SimpleQueue[str | KabError] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(_post(service, document, timeout_s))
        except KabError as error:
            answers.put(error)

    # urllib bounds each wait for a byte, and not all of them together.
    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=timeout_s)
    except queue.Empty:
        answer = HostError(f"{printable(service.host)} does not answer in {timeout_s:g} s", remedy=_LATER)
    if isinstance(answer, KabError):
        raise answer
    return answer


def _post(service: RestService, document: str, timeout_s: float) -> str:
    headers = {
        "Authorization": f"Bearer {service.token}",
        "Content-Type": "application/json",
        "User-Agent": "kab",
    }
    # Its scheme was looked at when it was read.
    request = Request(service.url, data=document.encode(), headers=headers, method="POST")  # noqa: S310
    where = printable(service.host)
    try:
        with build_opener(_StayHere()).open(request, timeout=timeout_s) as answer:
            return _said(answer.read(_MOST_OF_ANSWER))
    except HTTPError as error:
        with error:
            raise _refusal(where, error.code, _body(error)) from None
    except (OSError, HTTPException) as error:
        reason = printable(str(getattr(error, "reason", error)), limit=_MOST_OF_ANSWER)
        raise HostError(f"{where} does not answer: {reason}", remedy=_LATER) from None


def _body(error: HTTPError) -> str:
    """What an answer says; nothing where it breaks off."""
    try:
        return _said(error.read(_MOST_OF_ANSWER))
    except (OSError, HTTPException):
        return ""


def _refusal(where: str, code: int, said: str) -> KabError:
    """What an answer other than success means."""
    if code in {401, 403}:
        return ConfigError(f"{where} refuses the token ({code}): {said}", remedy=_REMEDY)
    if code < 400:
        return HostError(f"{where} sends elsewhere ({code}): nothing was submitted", remedy=_REMEDY)
    if code < 500:
        remedy = "The origin may not be the token's: see the setting kcidb_origin."
        return ConfigError(f"{where} refuses the report ({code}): {said}", remedy=remedy)
    return HostError(f"{where} fails ({code}): {said}", remedy=_LATER)


class _StayHere(HTTPRedirectHandler):
    """Follows no redirection: the token goes to the host that it is for, and nowhere else."""

    def redirect_request(
        self,
        req: Request,  # noqa: ARG002 - urllib's signature
        fp: IO[bytes],  # noqa: ARG002
        code: int,  # noqa: ARG002
        msg: str,  # noqa: ARG002
        headers: HTTPMessage,  # noqa: ARG002
        newurl: str,  # noqa: ARG002
    ) -> None:
        return None


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _said(answer: bytes) -> str:
    return printable(" ".join(answer.decode(errors="replace").split()), limit=_MOST_OF_ANSWER)
