"""Names of the parts of image models, and of their graphs' inputs and outputs."""

from __future__ import annotations

BUILD_VERSION = 1  # counted up by whoever changes what is exported
KIND = "image"  # of builds

UNET = "unet"
VAE_ENCODER = "vae_encoder"
VAE_DECODER = "vae_decoder"
TEXT_ENCODER = "text_encoder"
SCORER = "scorer"
GENERATOR = "generator"
DISCRIMINATOR = "discriminator"
UPSCALER = "upscaler"
READER = "pixel_reader"  # of an autoregressive model: many places at once
WRITER = "pixel_writer"  # the next place of each row
MAKES_PICTURES = (VAE_DECODER, GENERATOR, UPSCALER)  # whose output is `IMAGE`, in one run

# Inputs and outputs. Axes: B rows, H and W pixels or latent places, S tokens.
SAMPLE = "sample"  # float32 [B, C, H, W]
TIMESTEP = "timestep"  # float32 [B]: some noise schedulers stop between two of the training's
STATES = "states"  # float32 [B, S, width], of the prompt's tokens
LABEL = "label"  # int64 [B], a class number
PREDICTION = "prediction"  # float32 [B, C, H, W]
IMAGE = "image"  # float32 [B, C, H, W], -1..1
MEAN = "mean"  # float32 [B, C, H, W], unscaled latents
DEVIATION = "deviation"  # float32, of the same shape
LATENT = "latent"  # float32 [B, C, H, W], unscaled; of a GAN [B, width]
VECTOR = "vector"  # float32 [B, width], of unit length
LOW = "low"  # float32 [B, C, H, W], -1..1, a picture to be enlarged
SCORE = "score"  # float32 [B], the logit of being real
IDS = "ids"  # int64 [B, S]
# Of autoregressive models, with h heads of width d and room for c places.
TOKENS = "tokens"  # int64 [B], of each row the one that was chosen last
PLACES = "places"  # int64 [B], where it stands
LOGITS = "logits"  # float32 [B, vocabulary], or [B, S, vocabulary]
KEYS = "keys"  # float32 [B, h, d, c], of each layer: see `of_layer`
VALUES = "values"  # float32 [B, h, c, d]
NEW_KEYS = "new_keys"  # float32 [B, h, d, 1]
NEW_VALUES = "new_values"  # float32 [B, h, 1, d]

FACTS_FILE = "facts.json"  # what the build says of its parts
REFERENCE_FILE = "reference.npz"  # stated inputs and what torch made of them


def of_layer(name: str, layer: int) -> str:
    """`name` is `KEYS`, `VALUES`, `NEW_KEYS` or `NEW_VALUES`."""
    return f"{name}.{layer}"
