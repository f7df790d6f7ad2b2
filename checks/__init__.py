"""Whether theory and experiment agree: claims, their judges and the runner, one module or folder per topic."""

from importlib import import_module
from pkgutil import iter_modules

TOPICS = {
    "fsl": "functional scaling laws of SGD in kernel regression",
    "schedules": "the best learning-rate and batch-size schedules under functional scaling laws",
    "label_noise": "label-noise SGD on two-layer linear networks",
    "riemannian": "adaptive optimizers as Riemannian flows, and LITE",
    "moe": "what mixtures of experts can express, by construction",
    "induction_heads": "how transformers implement induction heads and how they are learned",
}
"""Every topic and what it is about, in the order of the report."""


def topics(names=()) -> list:
    """The topics called by `names` (all of them if there are none), in the order of :data:`TOPICS`.

    Raises
    ------
    ValueError
        If a name is no topic.
    """
    for name in names:
        if name not in TOPICS:
            raise ValueError(f"topic is {name!r}; it must be one of {', '.join(TOPICS)}")
    return [name for name in TOPICS if name in names or not names]


def load(topic: str) -> dict:
    """Import a topic's claims and return them by id.

    Raises
    ------
    ValueError
        If there is no such topic.
    """
    from .claim import REGISTRY

    (checked,) = topics([topic])
    import_street(f"{__name__}.{checked}")
    return {key: REGISTRY[key] for key in sorted(REGISTRY) if REGISTRY[key].topic == checked}


def import_street(name: str) -> None:
    """Import the module `name` and, where it is a folder, every module in it."""
    street = import_module(name)
    for module in iter_modules(getattr(street, "__path__", ())):
        import_module(f"{name}.{module.name}")
