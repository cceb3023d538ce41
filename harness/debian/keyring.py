"""The keys that Debian's archives are signed with: nothing is taken that they do not vouch for."""

from pathlib import Path

from harness.errors import HostError
from harness.model.check import Check, CheckStatus

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
# The package has it in either form, by release.
_FORMS = (KEYRING, KEYRING.with_suffix(".pgp"))
_REMEDY = "apt-get install debian-archive-keyring"


def require_keyring(keyring: Path = KEYRING) -> None:
    """Raise HostError where there are no keys."""
    if not keyring.is_file():
        raise HostError(
            f"there is no keyring {keyring} to check Debian's signatures with", remedy=f"Install it: {_REMEDY}"
        )


def keyring_check(root: Path) -> Check:
    """Whether the host below `root` has the keys."""
    for path in _FORMS:
        if (root / path.relative_to("/")).is_file():
            return Check(name="keyring", status=CheckStatus.OK, detail=str(path))
    return Check(
        name="keyring",
        status=CheckStatus.FAIL,
        detail="Debian's archive keys are not installed: no kernel could be verified",
        remedy=_REMEDY,
    )
