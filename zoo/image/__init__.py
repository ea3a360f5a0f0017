"""Image models: what they learn, how good they are, and how they are written out."""
