"""The commands of `python -m vgpt2.datagen`: each module adds its own and imports what it needs when it runs."""
