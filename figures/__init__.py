"""What it looks like: figures of every topic, each with the numbers behind it."""

from ..checks import import_street, topics


def load(topic: str) -> dict:
    """Import a topic's figures and return them by id (empty where it has none)."""
    from .figure import REGISTRY

    checked = topics([topic])[0]
    name = f"{__name__}.{checked}"
    try:
        import_street(name)
    except ModuleNotFoundError as missing:
        if missing.name != name:
            raise
    return {key: REGISTRY[key] for key in sorted(REGISTRY) if REGISTRY[key].topic == checked}
