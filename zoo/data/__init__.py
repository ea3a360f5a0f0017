"""Examples: which packages they come out of, and what is held out. Knows no model."""
