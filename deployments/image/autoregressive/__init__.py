"""Autoregressive models: a picture is a sequence of pixels, each drawn after those before it.

codes.py      pixels <-> codes          choosing.py   logits -> the next code
cache.py      keys and values of rows   engine.py     turns: rows at different places together
loop.py       many requests, one engine service.py    what a request means
"""
