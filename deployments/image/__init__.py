"""The image family: four kinds of model behind one replica.

    app.py deployment.py     Serve's side, the same for all
    opening.py               which room opens a card
    service.py               what a room may offer
    vae/ gan/ autoregressive/ diffusion/     the rooms; none imports another

What all rooms share lies here: pictures in (`decoding.py`, `fitting.py`), pictures out
(`writing.py`, `provenance.py`), numbers (`pixels.py`, `seeds.py`), bounds (`limits.py`).
"""
