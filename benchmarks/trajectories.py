"""Trajectory evaluators against their dense versions: time and error.

Every fast evaluator is paired with the version one would write first: all modes one by one in NumPy and in the same
compiled kernel, one eigendecomposition, product integration of the Volterra equation, the double sum of the
functional law.  The rounds of a pair are interleaved and medians are shown, so that a busy machine slows both.
"""

import statistics
import time

import numpy as np

from theorycheck.theory import fsl, learning_rates

ROUNDS = 3


def main():
    """Run all comparisons; return a Markdown table and the ratios."""
    rows = [_recursion(), _long_recursion(), _continuous(), _product_integration(), _law(), _long_law()]
    lines = ["### Trajectory evaluators against their dense versions", "",
             "| evaluator | task | seconds | dense version | seconds | ratio | relative error |",
             "|---|---|---|---|---|---|---|"]
    for fast, task, seconds, dense, slow, error in rows:
        ratio = f"{slow / seconds:.0f}" if slow else "-"
        shown = f"{slow:.3g}" if slow else "-"
        lines.append(f"| {fast} | {task} | {seconds:.3g} | {dense} | {shown} | {ratio} | {error} |")
    lines += ["", f"Medians of {ROUNDS} interleaved rounds, compilation excluded.  The evaluators use one core, the "
              "eigendecomposition as many as LAPACK takes.  Errors are measured against the dense version, or, where "
              "none can finish, stated by the evaluator itself."]
    return "\n".join(lines) + "\n", [
        (f"{fast}: {task}", dense, f"{seconds:.3g} s", f"{slow:.3g} s", slow / seconds)
        for fast, task, seconds, dense, slow, _ in rows if slow]


def _paired(*functions):
    """Median seconds of each function over interleaved rounds after one warm-up, and the last results."""
    results = [function() for function in functions]
    seconds = [[] for _ in functions]
    for _ in range(ROUNDS):
        for number, function in enumerate(functions):
            start = time.perf_counter()
            results[number] = function()
            seconds[number].append(time.perf_counter() - start)
    return [statistics.median(row) for row in seconds], results


def _worst(measured, reference):
    return f"{np.max(np.abs(np.asarray(measured) / np.asarray(reference) - 1.0)):.1e}"


def _recursion():
    problem = fsl.PowerLawRegression(source=0.5, capacity=2.0, width=20_000)
    schedule = learning_rates.wsd(5000, 0.2)

    def numpy_loop():
        spectrum = problem.spectrum()
        values, moments, risks = spectrum.eigenvalues, spectrum.target_squared.copy(), []
        for rate in schedule.rates:
            total = np.einsum("i,i", values, moments)
            risks.append(spectrum.approximation_error + 0.5 * total)
            x = rate * values
            moments *= 1.0 - x * (2.0 - 2.0 * x)
            moments += rate**2 * (total + spectrum.label_variance) * values
        return risks + [spectrum.approximation_error + 0.5 * np.einsum("i,i", values, moments)]

    (fast, slow), (made, reference) = _paired(lambda: fsl.exact_risk(problem, schedule), numpy_loop)
    return ("exact risk, compressed", "20,000 modes, 5000 steps", fast, "every mode, NumPy", slow,
            _worst(made.excess_risk, np.array(reference)[made.steps]))


def _long_recursion():
    problem = fsl.PowerLawRegression(source=0.5, capacity=4.0, width=1_000_000)
    long, short = learning_rates.cosine(1_000_000, 0.2), learning_rates.cosine(300, 0.2)
    single = problem.spectrum()
    (fast, slow), (made, _) = _paired(lambda: fsl.exact_risk(problem, long),
                                      lambda: fsl.exact_risk(single, short, times=[300]))
    return ("exact risk, compressed", "1,000,000 modes, 1,000,000 steps", fast,
            "every mode, same kernel (300 steps, scaled)", slow * 1e6 / 300, f"{made.error_bound:.1e} (stated)")


def _continuous():
    problem = fsl.PowerLawRegression(source=0.5, capacity=2.0, width=1000)
    times = np.geomspace(1e-2, 1e5, 100)
    (fast, slow), (made, reference) = _paired(lambda: fsl.sde_risk(problem, 0.2, times),
                                              lambda: fsl.eigen_sde_risk(problem.spectrum(), 0.2, times))
    return ("SDE, exponential integrator", "1000 modes, t to 1e5, 100 times", fast, "eigendecomposition", slow,
            _worst(made.excess_risk, reference))


def _product_integration():
    problem = fsl.PowerLawRegression(source=0.5, capacity=2.0)
    times = np.linspace(0.0, 1000.0, 9)[1:]
    (fast, slow), (made, reference) = _paired(
        lambda: fsl.sde_risk(problem, 0.2, times, isotropic=True),
        lambda: fsl.volterra_risk(problem, 0.2, 1000.0, 16_000))
    return ("Volterra, exponential integrator", "t to 1000", fast, "product integration, 16,000 points", slow,
            _worst(made.excess_risk, reference.excess_risk[2000::2000]) + " (of the dense version)")


def _law():
    problem = fsl.PowerLawRegression(source=0.5, capacity=4.0)
    schedule = learning_rates.cosine(4000, 0.2)
    steps = np.arange(schedule.steps + 1)

    def double_sum():
        clock, strength = schedule.intrinsic_time, schedule.rates**2
        source = (1.0 + clock) ** -problem.source
        pushed = strength * (source[:-1] + problem.noise**2)
        noise = [pushed[:q] @ (1.0 + clock[q] - clock[1:q + 1]) ** -problem.kernel_exponent for q in steps]
        return source + np.array(noise)

    (fast, slow), (made, reference) = _paired(
        lambda: fsl.functional_law(problem, schedule, times=steps, kernel="power"), double_sum)
    return ("functional law, O(N Q)", "4000 steps, all recorded", fast, "double sum, O(N^2)", slow,
            _worst(made.excess_risk, reference))


def _long_law():
    problem = fsl.PowerLawRegression(source=0.5, capacity=4.0)
    schedule = learning_rates.cosine(1_000_000, 0.2)
    (fast,), (made,) = _paired(lambda: fsl.functional_law(problem, schedule, kernel="power"))
    return ("functional law, O(N Q)", "1,000,000 steps", fast, "-", None, f"{made.error_bound:.1e} (stated)")


if __name__ == "__main__":
    print(main()[0])
