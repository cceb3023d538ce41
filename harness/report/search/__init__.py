"""A search over a ladder: its edges with proofs, what is believed of every rung, and every boot."""
