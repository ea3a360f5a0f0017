"""The platform on one machine: Ray's head node, Serve's applications and what watches them."""
