"""What can be set of the demo on Kubernetes: variables that begin with ``AUDIENCE_DEMO_``.

Refuses a variable with that prefix that it does not know.
"""

import shlex
import shutil
from collections.abc import Mapping
from typing import Final

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from local.settings import SettingsError

PREFIX: Final = "AUDIENCE_DEMO_"
BUILDERS: Final = (
    ("docker", "docker build"),
    ("nerdctl", "nerdctl --namespace k8s.io build"),  # Rancher Desktop with containerd
)


class DemoSettings(BaseSettings):
    """Built once when a command starts, and passed on."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    namespace: str = Field(default="audience-manager-demo", pattern=r"^[a-z0-9-]{1,63}$")
    release: str = Field(default="audience-manager", pattern=r"^[a-z0-9-]{1,40}$")
    build: str = ""
    """The command that builds an image; ``-t IMAGE -f FILE FOLDER`` follows. ``none``: images are pulled or there.
    Empty: docker or nerdctl, whichever is on the path."""
    load: str = ""
    """The command that brings an image to the cluster's nodes; its name follows. Empty: what was built is there."""
    values: str = ""
    """More files of values, after the demo's own; separated by colons."""
    node: str = ""
    """The address at which NodePorts answer. Empty: 127.0.0.1 for a cluster of this machine, else the node's own."""
    sample: bool = True
    """Off: no sample history."""
    yes: bool = False
    """Never ask: for scripts."""
    wait_s: int = Field(default=600, ge=30)

    def builder(self) -> list[str]:
        """The build command's words; none where nothing is built. Raises SettingsError."""
        if self.build == "none":
            return []
        if self.build:
            return shlex.split(self.build)
        for program, command in BUILDERS:
            if shutil.which(program):
                return shlex.split(command)
        raise SettingsError(
            f"neither docker nor nerdctl is there to build the images: set {PREFIX}BUILD to a command, or to none"
        )


def load(environ: Mapping[str, str]) -> DemoSettings:
    """The settings of this environment. Raises SettingsError with every fault in words."""
    known = {PREFIX + field.upper() for field in DemoSettings.model_fields}
    unknown = sorted(name for name in environ if name.startswith(PREFIX) and name not in known)
    if unknown:
        raise SettingsError(f"unknown: {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    try:
        return DemoSettings()
    except ValidationError as error:
        faults = (f"{PREFIX}{str(fault['loc'][0]).upper()}: {fault['msg']}" for fault in error.errors())
        raise SettingsError("; ".join(faults)) from error
