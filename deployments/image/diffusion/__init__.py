"""Diffusion models: noise to pictures, step by step, the steps of all requests in one batch."""
