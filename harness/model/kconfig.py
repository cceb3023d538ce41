"""Kernel configurations: options, and the steps from one configuration to another."""

from dataclasses import dataclass

# What an option has that is not there, or "is not set".
UNSET = "n"
# First line of a fragment whose options are wishes: one that kconfig drops is no error there.
MAY_BE_LOST = "# kab: may be lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigOption:
    """One option of a ``.config``."""

    # Without CONFIG_.
    name: str
    # As written: y, m, n, a number, or a string in its quotes.
    value: str
    # The menus that it is in, the outermost first.
    menu: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionChange:
    """An option that two configurations set differently."""

    name: str
    # UNSET where the configuration does not have it.
    good: str
    bad: str
    menu: tuple[str, ...] = ()

    @property
    def turns_off(self) -> bool:
        """Whether the bad configuration lacks what the good one has."""
        return self.bad == UNSET

    @property
    def short(self) -> str:
        """``BTRFS_ASSERT=y``, as it is in the bad configuration."""
        return f"{self.name}={self.bad}"

    def __str__(self) -> str:
        return f"{self.name}: {self.good} -> {self.bad}"


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionEffect:
    """What one step of a line of configurations does once kconfig has resolved all dependencies."""

    # The option that the step sets.
    step: OptionChange
    # Whether the resulting configuration has it as wished.
    took: bool
    # Options of earlier steps that had no effect before this one.
    enabled: tuple[OptionChange, ...] = ()
    # What else changed with it: options that depend on these, or that they select.
    derived: tuple[OptionChange, ...] = ()

    @property
    def nothing(self) -> bool:
        """Whether the step leaves the resulting configuration what it was."""
        return not (self.took or self.enabled or self.derived)
