"""Induction heads in the classroom: watch two layers attend to a text of yours, then watch such a head being learned.

As an app: ``marimo run demos/induction_heads.py``; as a notebook: ``marimo edit demos/induction_heads.py``.
"""

import marimo

app = marimo.App(width="medium", app_title="Induction heads")


@app.cell
def imports():
    import math

    import marimo as mo
    import numpy as np

    from theorycheck.figures import style
    from theorycheck.theory.induction_heads import (
        constructions,
        emergence,
        induction_block,
        joint_flow,
        lag_selection,
        population_loss,
        targets,
    )
    from theorycheck.theory.induction_heads import phases as classification
    return (classification, constructions, emergence, induction_block, joint_flow, lag_selection, math, mo, np,
            population_loss, style, targets)


@app.cell
def introduction(mo):
    mo.md(
        r"""
        # Induction heads

        *...when it comes to Harry Pot* - what follows? An induction head looks for earlier places that look like the end of
        the text and copies what came after them. Two attention layers can do it: heads of the first write the previous
        $n-1$ tokens beside each token, by position alone, and one head of the second compares that patch with the end,

        $$\mathrm{IH}_n(X) = \sum_{s=n}^{L-1} \mathrm{softmax}_s\big(\langle X_{L-n+2:L},\, W X_{s-n+1:s-1} \rangle\big)\; x_s .$$

        Here every character of your text is a token (a unit vector), and $W = \beta I$.
        (After Wang, Yu, E and Wu, arXiv 2410.11474.)
        """
    )
    return


@app.cell
def text_controls(mo):
    text = mo.ui.text(value="the cat sat on the mat and the c", label="text", full_width=True)
    order = mo.ui.slider(2, 4, 1, value=3, label="n of the n-gram", show_value=True)
    heads = mo.ui.slider(1, 10, 1, value=4, label="heads H of layer 1", show_value=True)
    slope = mo.ui.slider(0.2, 4.0, 0.1, value=1.4, label="smallest slope p", show_value=True)
    sharpness = mo.ui.slider(0.5, 12.0, 0.5, value=6.0, label="similarity beta", show_value=True)
    mo.vstack([text, mo.hstack([order, heads]), mo.hstack([slope, sharpness])])
    return heads, order, sharpness, slope, text


@app.cell
def position_control(mo, text):
    _length = max(1, len(text.value))
    place = mo.ui.slider(1, _length, 1, value=_length, label="position that is attended from", show_value=True,
                         full_width=True)
    place
    return (place,)


@app.cell
def attention(constructions, heads, lag_selection, math, np, order, place, sharpness, slope, targets, text):
    alphabet, seen = sorted(set(text.value)), text.value[:place.value]
    n, refusal, trace, wanted = order.value, "", None, None
    try:
        tokens = np.eye(max(1, len(alphabet)))[[alphabet.index(letter) for letter in seen]]
        similarity = sharpness.value * np.eye((n - 1) * tokens.shape[1])
        nodes = lag_selection.spaced_nodes(heads.value, math.exp(-slope.value))
        model = constructions.ngram_model(similarity, n, nodes)
        trace = model.trace(tokens)
        wanted = targets.ngram_induction(tokens, similarity, n)
    except ValueError as refused:
        refusal = str(refused)
    error = None if trace is None else float(np.abs(trace.output - wanted).max())
    return alphabet, error, n, refusal, seen, trace, wanted


@app.cell
def attention_picture(alphabet, mo, np, refusal, seen, style, trace, wanted):
    attention_drawing = None
    if trace is not None:
        with style.applied():
            attention_drawing, (_first, _second, _third) = style.new(3, 1, width=9.0, height=8.0, height_ratios=[2, 2, 2])
            _letters, _places = list(seen), np.arange(len(seen))
            for _number, _weights in enumerate(trace.first_weights[:, -1]):
                _first.plot(_places, _weights, **style.theory(_number), label=f"head {_number + 1}")
            _first.set(title=f"layer 1: where each head looks from position {len(seen)}", ylabel="weight")
            _first.legend(ncols=4)
            _second.bar(_places, trace.second_weights[0], color=style.COLORS[1])
            _second.set(title=f"layer 2: whose continuation position {len(seen)} copies", ylabel="weight")
            for _axis in (_first, _second):
                _axis.set_xticks(_places, _letters)
                _axis.set_xlim(-0.6, len(_places) - 0.4)
            shown = np.arange(len(alphabet))
            _third.bar(shown - 0.2, wanted, width=0.4, color=style.COLORS[5], label="target IH_n")
            _third.bar(shown + 0.2, trace.output, width=0.4, color=style.COLORS[1], label="two layers")
            _third.set_xticks(shown, ["space" if _letter == " " else _letter for _letter in alphabet])
            _third.set(title="what comes next", ylabel="amount copied")
            _third.legend()
    attention_drawing if not refusal else mo.callout(mo.md(refusal), kind="warn")
    return (attention_drawing,)


@app.cell
def attention_numbers(alphabet, error, heads, mo, n, np, slope, trace):
    best = None if trace is None else alphabet[int(np.argmax(trace.output))]
    mo.md("" if trace is None else
          f"Next character: **{best!r}**. Largest error against the target: **{error:.2g}**, with {heads.value} heads for "
          f"{n - 1} lags and smallest slope {slope.value:g}.")
    return (best,)


@app.cell
def learning_introduction(mo):
    mo.md(
        r"""
        ## Learning it

        Tokens are now normal random numbers, the target is a 4-gram, $\gamma\, x_{L-2}$, beside an induction head,
        $c\,\mathrm{IH}_2$, with $\gamma = \alpha/(1+\alpha)$, $c = 1/(1+\alpha)$ and logits $y\, x_L x_{s-1}$. The model has
        six scalars, and gradient flow on its population loss is a system of six equations in closed form: the 4-gram is
        learned early, the induction head waits on a plateau for a time of order $L (1+\alpha)^2 \log(1/\sigma)/y$.
        """
    )
    return


@app.cell
def learning_controls(mo):
    weight = mo.ui.slider(0.2, 5.0, 0.2, value=1.0, label="weight alpha", show_value=True)
    teacher = mo.ui.slider(0.1, 0.65, 0.05, value=0.3, label="similarity y", show_value=True)
    length = mo.ui.dropdown({"34": 34, "102": 102, "1002": 1002, "10 002": 10_002}, value="1002", label="length L")
    scale = mo.ui.slider(-6.0, -1.0, 0.5, value=-2.0, label="log10 sigma", show_value=True)
    together = mo.ui.checkbox(value=False, label="train layer 1 as well (from sigma = 0.1)")
    mo.vstack([mo.hstack([weight, teacher, length]), mo.hstack([scale, together])])
    return length, scale, teacher, together, weight


@app.cell
def learning(classification, emergence, joint_flow, length, np, population_loss, scale, teacher, together, weight):
    task = population_loss.Task(weight.value, teacher.value, length.value)
    sigma = 0.1 if together.value else 10.0**scale.value
    expected = task.keys * float(emergence.emergence_times(task.weight, task.similarity, sigma))
    times = np.geomspace(1.0, 10.0 * expected, 300)
    path = (joint_flow.joint_flow if together.value else joint_flow.stage_two_flow)(task, sigma, times)
    found = classification.phases(task, path)
    return expected, found, path, sigma, task, times


@app.cell
def clock(mo):
    get_moment, set_moment = mo.state(200)
    playing = mo.ui.switch(value=False, label="play the dynamics")
    return get_moment, playing, set_moment


@app.cell
def ticker(mo, playing):
    tick = mo.ui.refresh(default_interval="0.5s") if playing.value else None
    mo.hstack([playing, *([tick] if playing.value else [])], justify="start")
    return (tick,)


@app.cell
def step():
    def following(moment):
        """The moment after this one; after the last, the first."""
        return (moment + 5) % 300
    return (following,)


@app.cell
def player(following, set_moment, tick):
    if tick is not None and tick.value:
        set_moment(following)
    return


@app.cell
def moment_control(get_moment, mo, set_moment):
    moment = mo.ui.slider(0, 299, 1, value=get_moment(), on_change=set_moment, label="time", full_width=True)
    moment
    return (moment,)


@app.cell
def learning_picture(found, induction_block, moment, np, path, style, task, times):
    with style.applied():
        learning_drawing, (loss, scalars) = style.new(2, 1, width=9.0, height=6.4, sharex=True)
        _largest = induction_block.plateau(task) / induction_block.plateau_fraction(task.similarity) / task.keys
        loss.plot(times, path.four_gram / (0.5 * task.four_gram**2), **style.theory(1), label="4-gram")
        loss.plot(times, path.induction / _largest, **style.theory(2), label="induction head")
        style.guide(loss, times[[0, -1]], np.full(2, float(induction_block.plateau_fraction(task.similarity))), "plateau")
        loss.set(ylabel="loss over its largest", ylim=(1e-5, 2.0))
        style.loglog(loss)
        _w1 = path.parameter("w1")
        for _number, (_name, _values) in enumerate((("a w1/gamma", path.parameter("a") * _w1 / task.four_gram),
                                                 ("b/c", path.parameter("b") / task.induction),
                                                 ("w^2 w1/y", path.parameter("w") ** 2 * _w1 / task.similarity),
                                                 ("1 - e^-p", -np.expm1(-path.parameter("p"))))):
            scalars.plot(times, _values, **style.theory(_number), label=_name)
            scalars.plot(times[moment.value], _values[moment.value], **style.measurement(_number))
        scalars.set(xlabel="time t", ylabel="scalar over its limit", ylim=(0.0, 1.9))
        _labels = found.labels(times)
        for _axis in (loss, scalars):
            for _number, _shade in ((1, "#E4E4E4"), (2, "#C9C9C9")):
                _inside = times[_labels == _number]
                if _inside.size:
                    _axis.axvspan(_inside[0], _inside[-1], color=_shade, linewidth=0, zorder=0.2)
            _axis.axvline(times[moment.value], color=style.GREY, linewidth=1.0)
            _axis.legend(loc="lower left" if _axis is loss else "upper left", ncols=2)
    learning_drawing
    return (learning_drawing,)


@app.cell
def learning_numbers(classification, expected, found, mo, moment, path, task, times):
    now = classification.NAMES[int(found.labels(times)[moment.value])]
    mo.md("\n".join([
        f"- now, t = {times[moment.value]:.4g}: **{now}**, 4-gram loss {path.four_gram[moment.value]:.3g}, induction loss "
        f"{path.induction[moment.value]:.3g}",
        f"- 4-gram learned to 1% at t = {found.learned:.4g}; plateau left at {found.left:.4g}, emerged at {found.emerged:.4g}"
        + ("" if found.separated else " - **no plateau: the phases overlap**"),
        f"- two-scalar flow: half of the plateau is left at t = {expected:.4g} = {expected / task.keys:.3g} N",
    ]))
    return (now,)


@app.cell
def exercises(mo):
    mo.md(
        r"""
        ### Things to try

        1. Two heads and n = 4: what does the refusal say, and why can no weights help?
        2. n = 3, slope $p = 0.2$, two heads: how wrong is the amount copied? Add heads. Then n = 4: which character is
           copied, and what helps more, heads or slope?
        3. Type a text in which the end occurred twice, with different continuations. Is the later one preferred?
        4. Learning: make $\sigma$ a hundred times smaller. What happens to the start of the emergence, and what to its
           duration?
        5. $y = 0.6$ against $y = 0.1$: how much of its first loss does the head keep on the plateau?
        6. L = 34: is there still a plateau after the 4-gram has been learned?
        """
    )
    return


if __name__ == "__main__":
    app.run()
