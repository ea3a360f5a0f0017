"""What all three translators have in common: seed, batches and steps."""

SEED = 1
STEPS = 3000  # seven and a half times through the data
