"""Running recipes over image files: loading, pairing, batching, devices, writing. Knows no command line."""
