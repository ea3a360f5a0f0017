"""Networks that no library has, with their own two files: config and weights."""
