"""How models are trained here, whoever asks: the zoo's recipes and the tuning jobs.

`loop.py` is the loop, `architectures/` has what transformers and diffusers lack. Knows no data,
no job and no card.
"""
