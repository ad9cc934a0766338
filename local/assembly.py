"""Puts the platform together from settings: which parts and steps there are, and what each needs first."""

from collections.abc import Mapping

from local import services
from local.flink import config as flink_config
from local.flink import part as flink
from local.kafka import part as kafka
from local.layout import Layout
from local.model import Platform
from local.postgres import part as postgres
from local.settings import LocalSettings


def assemble(settings: LocalSettings, layout: Layout, environ: Mapping[str, str]) -> Platform:
    """Everything, in the order in which it is shown. The order of starting follows from `needs` alone."""
    env = services.environment(settings, layout, environ)
    preparation = [kafka.step(settings, layout), postgres.step(settings, layout), flink.step(settings, layout)]
    stores = [
        kafka.part(settings, layout, (preparation[0].name,)),
        postgres.part(settings, layout, (preparation[1].name,)),
    ]
    steps = services.steps(layout, env)
    streaming = flink.parts(settings, layout, ("flink-files", services.TOPICS), env)
    ours = services.parts(settings, layout, env) if settings.services else []
    written = {"kafka": kafka.properties(settings, layout), "flink": flink_config.configuration(settings, layout)}
    return Platform((*preparation, *stores, *steps, *streaming, *ours), links(settings), written)


def links(settings: LocalSettings) -> tuple[tuple[str, str], ...]:
    """What a person opens first."""
    flink_ui = ("Flink UI", flink.address(settings))
    if not settings.services:
        return (flink_ui,)
    ingest, segments = services.url(settings, "ingest_port"), services.url(settings, "segments_port")
    return (("Ingest API", f"{ingest}/docs"), ("Segment API", f"{segments}/docs"), flink_ui)
