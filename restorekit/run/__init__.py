"""Running recipes on image files: loading, pairing, batching, devices, writing. Independent of the command line."""
