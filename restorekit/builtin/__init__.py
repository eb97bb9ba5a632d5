"""The recipes that ship with restorekit, registered as any third party's are."""
