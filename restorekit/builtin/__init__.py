"""The recipes that ship with restorekit, registered like those of any plugin."""
