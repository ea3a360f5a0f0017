"""Small models that this project trained itself: recipes, and what they made.

recipes/        one module per model: data -> model -> training -> held-out figures -> export
data/           where the examples come from, and how they are kept apart
architectures/  networks that no library has
<model>/        what a recipe exported: config, weights in fp16, tokenizer, README.md, loss.png
"""
