"""Generative adversarial networks: pictures of a latent, a judge of pictures, and upscalers."""
