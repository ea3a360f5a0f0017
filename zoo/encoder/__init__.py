"""Heads for all-MiniLM-L6-v2: its body frozen but for low-rank changes."""
