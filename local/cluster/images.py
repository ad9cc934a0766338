"""Builds the project's images, and brings what the cluster cannot pull to its nodes."""

import shlex
from collections.abc import Sequence
from typing import Final

from local.cluster.settings import DemoSettings
from local.commands import run
from local.progress import Progress
from local.settings import ROOT

DOCKERFILES: Final = {
    "audience-manager/services": "docker/services.Dockerfile",
    "audience-manager/flink": "docker/flink.Dockerfile",
}
BUILD_WITHIN_S: Final = 3600
LOAD_WITHIN_S: Final = 600


def ours(images: Sequence[str]) -> dict[str, str]:
    """Of these images, those with a Dockerfile here."""
    found = {}
    for image in images:
        for name, dockerfile in DOCKERFILES.items():
            repository = image.rpartition(":")[0]
            if repository == name or repository.endswith("/" + name):
                found[image] = dockerfile
    return found


def provide(settings: DemoSettings, images: Sequence[str], progress: Progress) -> None:
    """Build ours; with a load command, load them all, since such a cluster pulls none. Raises CommandFailed."""
    if builder := settings.builder():
        for image, dockerfile in ours(images).items():
            progress.say(f"Building {image} …")
            run([*builder, "-t", image, "-f", dockerfile, "."], folder=ROOT, within_s=BUILD_WITHIN_S)
    if settings.load:
        for image in images:
            progress.say(f"Loading {image} …")
            run([*shlex.split(settings.load), image], folder=ROOT, within_s=LOAD_WITHIN_S)
