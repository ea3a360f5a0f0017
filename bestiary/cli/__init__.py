"""The command line: the only part of `bestiary` that may know Ray Serve and the SDK."""
