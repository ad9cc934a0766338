"""What a cluster needs before a production install: the resources of k8s/, applied server-side.

A storage class that is there stays as it is: its fields cannot be changed, and the cluster's owner chose them.
"""

import json
import shutil
from typing import Any, Final

import yaml

from local.commands import run
from local.layout import NotInstalled
from local.settings import ROOT

FOLDER: Final = ROOT / "k8s"
KEPT: Final = "StorageClass"


def kubectl() -> str:
    """Where it is. Raises NotInstalled."""
    found = shutil.which("kubectl")
    if found is None:
        raise NotInstalled("kubectl is not on the path")
    return found


def prepare() -> str:
    """Apply all that is not there; what was done, a line each. Raises CommandFailed, NotInstalled."""
    program = kubectl()
    there = json.loads(run([program, "get", KEPT, "--output", "json"], folder=ROOT))["items"]
    kept = {each["metadata"]["name"] for each in there}
    wanted = [each for file in sorted(FOLDER.glob("*.yaml")) for each in yaml.safe_load_all(file.read_text())]
    lines = [f"storageclass {_name(each)} stays as it is" for each in wanted if _stays(each, kept)]
    text = yaml.safe_dump_all([each for each in wanted if not _stays(each, kept)])
    lines.append(run([program, "apply", "--server-side", "--filename", "-"], folder=ROOT, given=text))
    return "\n".join(lines)


def _name(resource: Any) -> str:
    return str(resource["metadata"]["name"])


def _stays(resource: Any, kept: set[str]) -> bool:
    return resource["kind"] == KEPT and _name(resource) in kept
