import json
import os
import subprocess
import sys
from pathlib import Path

from skimage import data, io

from restorekit.core.memory import CAPACITIES
from tests.models.small import small_model

# Packages that are not needed to denoise a photo, and take long to import.
SLOW = {"accelerate", "cv2", "deepinv", "fsspec", "huggingface_hub", "matplotlib", "numpy.f2py", "pandas", "ray"}
SLOW |= {"scipy", "skimage", "sympy", "tensorboard", "torch._dynamo", "torch._inductor", "torch.onnx", "torchvision"}
SLOW |= {"PIL.PdfImagePlugin", "gradio", "fastapi", "uvicorn"}
COMMAND = """
import gc, json, os, sys
from restorekit.cli import app
try:
    app.main()
except SystemExit as stop:
    found = [stop.code, gc.get_freeze_count() > 0, os.environ.get("LRU_CACHE_CAPACITY"), *sys.modules]
    print(json.dumps(found), file=sys.stderr)
"""


def run_alone(*words: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a process that prints its state as the last line of standard error."""
    environment = {**os.environ, "RESTOREKIT_PLUGINS": ""}
    return subprocess.run([sys.executable, "-c", COMMAND, *words], env=environment, capture_output=True, text=True)


def test_denoise_does_not_import_slow_packages(tmp_path: Path) -> None:
    io.imsave(tmp_path / "photo.jpg", data.astronaut()[:32, :32])
    model = str(small_model(tmp_path / "model"))
    words = ["denoise", str(tmp_path / "photo.jpg"), "--model", model, "--camera-model", model]
    done = run_alone(*words)
    code, is_frozen, capacity, *modules = json.loads(done.stderr.splitlines()[-1])
    assert (code, (tmp_path / "photo-denoise.jpg").is_file(), "torch" in modules) == (0, True, True), done.stderr
    assert sorted(SLOW & set(modules)) == []
    assert capacity == CAPACITIES["LRU_CACHE_CAPACITY"]
    assert is_frozen, "the garbage collector was active while torch was imported"


def test_plans_are_listed_without_torch() -> None:
    done = run_alone("train", "--list")
    code, _, _, *modules = json.loads(done.stderr.splitlines()[-1])
    assert (code, "ddpm_photo" in done.stdout) == (0, True), done.stderr
    assert sorted({"torch", *SLOW} & set(modules)) == []


def test_help_imports_neither_torch_nor_gradio() -> None:
    for words in (["--help"], ["ui", "--help"]):
        done = run_alone(*words)
        code, _, _, *modules = json.loads(done.stderr.splitlines()[-1])
        assert (code, "Usage" in done.stdout) == (0, True), done.stderr
        assert sorted({"torch", *SLOW} & set(modules)) == []
