"""The commands of `python -m vgpt2.datagen`: each module adds its own to the parser, and imports what it needs when it runs."""
