"""One module per model, run as `python -m zoo.recipes.NAME`; `bestiary zoo train NAME` does."""
