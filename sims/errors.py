"""What can go wrong with an experiment that was set up correctly."""


class Diverged(ArithmeticError):
    """A replica left the finite numbers.

    Parameters
    ----------
    replica : int
    step : int, optional
        The first step at which it was noticed, where known.
    """

    def __init__(self, replica, step=None):
        super().__init__(replica, step)
        self.replica, self.step = int(replica), None if step is None else int(step)

    def __str__(self):
        where = "" if self.step is None else f" at step {self.step}"
        return f"replica {self.replica} diverged{where}"


class DeviceUnavailable(ValueError):
    """The machine, or this experiment, lacks the device asked for; the message says which."""


class DivergenceWarning(UserWarning):
    """Replicas diverged and were left out of an estimate, which is therefore one of the survivors and biased."""


class StoreFailed(OSError):
    """The store cannot be made, read or written: a full disk, a folder that is read-only; says nothing of a claim."""


class ClusterLost(Exception):
    """The Dask cluster went away during the work, or a task took several workers down; says nothing of a claim."""
