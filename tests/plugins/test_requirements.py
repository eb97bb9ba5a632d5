from __future__ import annotations

import subprocess
import sys

import pytest

from restorekit.errors import RestorekitError
from restorekit.plugins import requirements
from restorekit.plugins.discovery import plugin_named
from tests.plugins.test_discovery import GOOD


@pytest.fixture(autouse=True)
def version(monkeypatch) -> None:
    monkeypatch.setattr(requirements, "__version__", "1.2.0")


@pytest.mark.parametrize(
    "text",
    ["restorekit", "restorekit>=1.2", "restorekit (>=1.2.0)", "restorekit[train]<2,>=1.0", "restorekit~=1.1",
     "restorekit-deblur>=9", "restorekit>=9; extra == 'new'", "torch>=9"],
)  # fmt: skip
def test_requirements_that_are_met(text: str) -> None:
    requirements.check_requirements("dist", "1", [text])


@pytest.mark.parametrize(
    "text", ["restorekit>=1.2.1", "restorekit>=10", "restorekit (<1.2)", "restorekit~=1.3; python_version>'3'"]
)
def test_requirements_that_are_not_met(text: str) -> None:
    with pytest.raises(RestorekitError, match=r"dist 1 requires restorekit \S+, found 1.2.0; pip install --upgrade"):
        requirements.check_requirements("dist", "1", ["torch", text])


def test_a_plugin_for_a_newer_version_is_not_imported(install, restorekit, tmp_path) -> None:
    install(later="raise RuntimeError('imported')", light=GOOD)
    metadata = tmp_path / "dist_later-1.2.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text() + "Requires-Dist: restorekit>=1.3\n")
    install()
    assert str(plugin_named("later").error).startswith("dist-later 1.2 requires restorekit >=1.3, found 1.2.0;")
    code, out, err = restorekit("plugins")
    assert code == 0
    assert err.startswith("warning: plugin later of dist-later: dist-later 1.2 requires restorekit >=1.3")
    assert "recipes lighten" in out


def test_usual_requirements_do_not_import_packaging() -> None:
    code = (
        "import sys; from restorekit.plugins.requirements import check_requirements;"
        "check_requirements('dist', '1', ['restorekit>=0.1']); sys.exit('packaging' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
