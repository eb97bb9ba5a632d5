"""The page of `restorekit ui`: restoring photos and folders in a browser. Requires the extra `ui` (Gradio)."""
