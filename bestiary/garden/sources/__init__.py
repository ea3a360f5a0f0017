"""Where weights come from: one file per scheme, found by name in `registry.py`."""
