"""Import of published checkpoints; `imports.import_model` is the entry point."""
