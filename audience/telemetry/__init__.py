"""Logging and metrics, the same for services and jobs."""
