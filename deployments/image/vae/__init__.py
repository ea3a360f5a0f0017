"""Variational autoencoders: pictures to small latents and back, and pictures out of nothing."""
