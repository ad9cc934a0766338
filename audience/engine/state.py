"""What the platform keeps of one profile between events. `audience.engine.evaluate` moves it.

It is bounded: docs/rules.md states by what. Its bytes are versioned; `audience.wire.state` writes and reads them.
"""

from audience_engine import ProfileState

__all__ = ["ProfileState"]
