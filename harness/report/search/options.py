"""What a step between two configurations did, in words."""

from harness.model.kconfig import OptionEffect

# Options that are named before the rest is counted.
_NAMED = 4


def effect_sentence(effect: OptionEffect) -> str:
    """``PROVE_LOCKING=y, and with it LOCK_STAT=y, which had no effect before; LOCKDEP=y follows``."""
    if effect.nothing:
        return f"{effect.step.short} changes nothing in the resulting configuration"
    said = effect.step.short if effect.took else f"{effect.step.short}, which kconfig does not take as it is"
    if effect.enabled:
        said += f", and with it {_listed([change.short for change in effect.enabled])}, without effect before"
    if effect.derived:
        said += f"; {_listed([change.short for change in effect.derived])} follow{'s' * (len(effect.derived) == 1)}"
    return said


def _listed(names: list[str]) -> str:
    rest = len(names) - _NAMED
    return ", ".join(names) if rest <= 1 else f"{', '.join(names[:_NAMED])} and {rest} others"
