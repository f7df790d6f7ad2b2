"""One problem, one schedule, three answers: the exact expectation, the functional law, and SGD itself.

    python examples/compare_schedules.py
"""

from theorycheck.sims import fsl as sgd
from theorycheck.theory import fsl
from theorycheck.theory import learning_rates as lr


def main():
    """Print the excess risk along training as the theory and the experiment see it."""
    problem = fsl.PowerLawRegression(source=0.5, capacity=4.0, width=1000, noise=1.0)
    schedule = lr.wsd(steps=10_000, peak=0.1, cooldown=0.2)
    times = [100, 1000, 8000, 9000, 10_000]

    exact = fsl.exact_risk(problem, schedule, batch_size=1, times=times)
    law = fsl.functional_law(problem, schedule, batch_size=1, times=times)
    measured = sgd.simulate(problem, schedule, batch_size=1, replicas=64, seed=0, times=times)

    print(f"{'step':>6} {'exact':>10} {'law':>10} {'exact/law':>10} {'SGD, 64 runs':>22}")
    for row in zip(times, exact.excess_risk, law.excess_risk, measured.mean, measured.stderr):
        step, risk, printed, mean, error = row
        print(f"{step:>6} {risk:>10.6f} {printed:>10.6f} {risk / printed:>10.3f} {mean:>12.6f} +- {error:.6f}")


if __name__ == "__main__":
    main()
