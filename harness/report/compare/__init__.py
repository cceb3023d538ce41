"""An A/B comparison: baseline, candidate, and what every metric says of them."""
