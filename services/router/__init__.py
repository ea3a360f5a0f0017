"""The router: picks a tier and a model for a request, and reaches its Serve handle.

`names.py` and `policy.py` are pure; `load_board.py` watches the replicas;
`dispatcher.py` is the thin part that sends. None of it knows HTTP or imports
`ray.serve`: `services/gateway/app.py` hands in what reaches Ray (the recipe is in
`model_handle.py` and `load_board.py`).
"""
