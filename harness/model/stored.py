"""How fields are named in what is stored, where that is not as in the code."""

STORED_AS = "stored_as"
"""Key of a dataclass field's metadata: its name in stored JSON, kept when the field got a better one."""
