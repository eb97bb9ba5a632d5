"""Models: safetensors files with the configuration in the header, bundled weights and the Hugging Face Hub."""
