"""Audience Manager's library: what an event, a profile, a rule and a membership are.

Layers, highest first: adapters > wire, telemetry > engine, ports > rules > profiles > events. The lower five
packages are pure: no I/O, clock or randomness; time is an argument.
"""
