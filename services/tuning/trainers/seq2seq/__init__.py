"""Encoder-decoders: translation and summarisation pairs. Published whole.

opening.py   method -> tuner               network.py   a base's network, how it is saved
pairs.py     texts -> token ids            prefixes.py  what a replica puts before a source
learner.py   the loss, and what is measured
"""
