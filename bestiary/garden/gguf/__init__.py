"""One GGUF file -> a Hugging Face folder, with numpy alone: `convert.py` is the way in."""
