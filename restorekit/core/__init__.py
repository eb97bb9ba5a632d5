"""Values that everything else is made of. Nothing here imports another part of restorekit."""
