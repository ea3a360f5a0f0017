"""The text engine beside its peers: who runs, what they are asked, what is read from it."""
