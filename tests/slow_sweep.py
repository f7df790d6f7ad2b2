"""A sweep that takes its time and logs what it computes; as a script, the command line with it, which can be killed."""

import signal
import time

from theorycheck.checks.experiment import experiment
from theorycheck.theory.arguments import number


@experiment("slow.square")
def square(x, log="", pause=0.0):
    """x squared; x = 3 cannot be computed, x < 0 is refused."""
    if not number(x, "x") >= 0:
        raise ValueError(f"x is {x}; it must be >= 0")

    def table():
        time.sleep(pause)
        with open(log, "a") as file:
            file.write(f"{x}\n")
        if x == 3:
            raise ArithmeticError("3 is out of order")
        return {"square": [x * x], "third": [x / 3]}
    return table


if __name__ == "__main__":
    import slow_sweep  # noqa: F401 -- by its module's name

    from theorycheck.cli.main import main

    signal.signal(signal.SIGINT, signal.default_int_handler)
    main()
