"""What a claim is: one checkable sentence of a paper, the experiment that tests it, and a control that must fail.

A claim is written as a function of the effort that returns :class:`Evidence` from one of the
:mod:`~theorycheck.checks.judges`, decorated with :func:`claim`.  To it belong one or more *controls*:
the same judge on a deliberately wrong theory or experiment.  A control that the judge accepts makes
the claim TOOTHLESS, however well the claim itself did.

    @claim("stationary_risk", topic="fsl", paper=FSL, where="Sec. 4", stance="derived",
           statement="E_inf = (sigma_M^2/2) S/(1-S)")
    def stationary_risk(effort):
        return judges.equal(measured, expected, rtol=1e-10)

    @stationary_risk.control("2 - eta lambda in place of 2 - (1+1/B) eta lambda")
    def _(effort):
        return judges.equal(measured, wrong, rtol=1e-10)

An *amended* claim corrects a printed statement that fails; it states what is printed with
``@name.printed("...")``, judged like a control (it must be rejected) and shown beside the correction.
Claims register when their module is imported.
"""

import inspect
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from ..sims.errors import DeviceUnavailable, StoreFailed
from ..theory.arguments import shown

STANCES = ("stated", "reconstructed", "amended", "derived")


@dataclass(frozen=True)
class Paper:
    """A paper whose sentences are checked.

    Parameters
    ----------
    key : str
        Short name, also the BibTeX key.
    title, authors : str
        As printed; authors separated by ``" and "``.
    year : int
    arxiv : str
        arXiv identifier, e.g. ``"2509.19189"``; empty where there is none.
    venue : str, optional
        Where it was published, as BibTeX ``booktitle``.
    """

    key: str
    title: str
    authors: str
    year: int
    arxiv: str = ""
    venue: str = ""

    @property
    def bibtex(self) -> str:
        """The BibTeX entry."""
        kind = "inproceedings" if self.venue else "misc"
        fields = [("title", f"{{{self.title}}}"), ("author", self.authors), ("year", str(self.year))]
        if self.venue:
            fields.append(("booktitle", self.venue))
        if self.arxiv:
            fields += [("eprint", self.arxiv), ("archivePrefix", "arXiv"),
                       ("url", f"https://arxiv.org/abs/{self.arxiv}")]
        body = ",\n".join(f"  {name:<13} = {{{value}}}" for name, value in fields)
        return f"@{kind}{{{self.key},\n{body}\n}}"


@dataclass(frozen=True)
class Effort:
    """How much work a claim may spend, and where its experiments run.

    Parameters
    ----------
    level : {"quick", "full"}
        ``quick``: a topic within about 90 s on two cores; ``full``: the paper's own sizes.
    jobs : int
        Worker processes of one experiment (>= 1).
    device : {"cpu", "gpu"}
    store : path or None
        Where finished chunks of long experiments are kept for resuming.
    progress : bool
        Show a progress bar for long experiments.
    cluster : str or None
        Address of a Dask scheduler, ``tcp://host:port``, whose workers do the chunks of experiments.
    """

    level: str = "quick"
    jobs: int = 1
    device: str = "cpu"
    store: object = None
    progress: bool = False
    cluster: str | None = None

    def __post_init__(self):
        if not isinstance(self.level, str) or self.level not in ("quick", "full"):
            raise ValueError(f"effort is {shown(self.level)}; it must be 'quick' or 'full'")
        if not (isinstance(self.jobs, int) and self.jobs >= 1):
            raise ValueError(f"jobs is {shown(self.jobs)}; it must be an integer >= 1")
        if not isinstance(self.device, str) or self.device not in ("cpu", "gpu"):
            raise ValueError(f"device is {shown(self.device)}; it must be 'cpu' or 'gpu'")

    def choose(self, quick, full):
        """`quick` at quick effort, `full` at full effort."""
        return quick if self.level == "quick" else full

    @property
    def engine(self) -> dict:
        """Keyword arguments for :func:`theorycheck.sims.engine.estimate` and the ``simulate`` functions."""
        return {"jobs": self.jobs, "device": self.device, "store": self.store, "progress": self.progress}


@dataclass(frozen=True)
class Evidence:
    """What a judge saw and decided.

    Attributes
    ----------
    accepted : bool or None
        True: compatible with the statement; False: rejected; None: the error bars are too wide to decide.
    measured, expected, tolerance : float or str
        The deciding numbers, as they should be read by a person.
    judge : str
        Name of the judge.
    false_alarm : float
        Probability that the judge rejects a true statement (0 for a deterministic comparison).
    note : str
        One line: where the worst case was, what was skipped, which resolution was reached.
    arrays : dict of str to ndarray
        What a figure could draw.
    table : tuple of tuples of str or float
        For statements with many cases: the first row is the header, all rows have its length; () if there is none.
        It is shown beneath the claim, so it holds no more digits than reproduce.
    """

    accepted: bool | None
    measured: float | str
    expected: float | str
    tolerance: float | str
    judge: str
    false_alarm: float = 0.0
    note: str = ""
    arrays: dict = field(default_factory=dict, compare=False, repr=False)
    table: tuple = field(default=(), compare=False, repr=False)

    def __post_init__(self):
        if self.accepted not in (True, False, None):
            raise ValueError(f"accepted is {self.accepted!r}; it must be True, False or None")
        widths = [len(row) for row in self.table]
        if len(set(widths)) > 1:
            raise ValueError(f"table has rows of {widths} cells; they must be equally many in each row")
        if self.accepted is not None:
            object.__setattr__(self, "accepted", bool(self.accepted))


class Verdict(StrEnum):
    """What the numbers say about a claim."""

    HOLDS = "HOLDS"
    FAILS = "FAILS"
    TOOTHLESS = "TOOTHLESS"
    INCONCLUSIVE = "INCONCLUSIVE"
    NOT_RUN = "NOT RUN"


class NotRun(Exception):
    """Raised by a claim that needs something this machine does not have (a GPU, say); the message says what."""


@dataclass(frozen=True)
class Control:
    """A deliberately wrong theory or experiment that the claim's judge must reject."""

    description: str
    run: Callable
    printed: bool = False


@dataclass
class Claim:
    """One checkable sentence of a paper; made by :func:`claim`, not by hand."""

    name: str
    topic: str
    paper: Paper
    where: str
    statement: str
    stance: str
    run: Callable
    controls: list = field(default_factory=list)

    @property
    def id(self) -> str:
        """``topic.name``, unique over the toolkit."""
        return f"{self.topic}.{self.name}"

    def control(self, description: str):
        """Register the decorated function of the effort as a control (must be rejected)."""
        return self._register(description, printed=False)

    def printed(self, statement: str):
        """Register the statement as printed in the paper, which must be rejected (amended claims only)."""
        if self.stance != "amended":
            raise ValueError(f"{self.id}: stance is {self.stance!r}; only an amended claim has a printed form")
        return self._register(statement, printed=True)

    def _register(self, description, printed):
        def register(function):
            self.controls.append(Control(description, function, printed))
            return function
        return register

    def __call__(self, effort):
        return self.run(effort)


@dataclass(frozen=True)
class Outcome:
    """A claim together with what its run and its controls showed."""

    claim: Claim
    verdict: Verdict
    evidence: Evidence | None
    controls: tuple = ()          # of (Control, Evidence or None, message)
    seconds: float = 0.0
    message: str = ""

    def record(self) -> dict:
        """The outcome as plain numbers and strings (what ``--json`` prints)."""
        claim, evidence = self.claim, self.evidence
        plain = describe(claim)
        plain["verdict"] = str(self.verdict)
        for name in ("measured", "expected", "tolerance"):
            plain[name] = _plain(getattr(evidence, name)) if evidence else None
        plain["table"] = [[_plain(cell) for cell in row] for row in evidence.table] if evidence else []
        plain["judge"] = evidence.judge if evidence else None
        plain["false_alarm"] = evidence.false_alarm if evidence else None
        plain["note"] = "; ".join(text for text in (self.message, evidence.note if evidence else "") if text)
        plain["controls"] = [
            {"description": control.description, "printed": control.printed,
             "rejected": None if seen is None or seen.accepted is None else not seen.accepted,
             "measured": _plain(seen.measured) if seen else None,
             "expected": _plain(seen.expected) if seen else None,
             "tolerance": _plain(seen.tolerance) if seen else None,
             "note": message or (seen.note if seen else "")}
            for control, seen, message in self.controls]
        plain["seconds"] = round(self.seconds, 3)
        return plain


def describe(claim: Claim) -> dict:
    """What is known of a claim before it runs: the same keys as :meth:`Outcome.record`, without numbers."""
    return {"id": claim.id, "topic": claim.topic, "paper": claim.paper.key, "where": claim.where,
            "stance": claim.stance, "statement": claim.statement, "verdict": None, "measured": None,
            "expected": None, "tolerance": None,
            "controls": [{"description": c.description, "printed": c.printed} for c in claim.controls],
            "seconds": None}


REGISTRY: dict[str, Claim] = {}


def claim(name: str, *, topic: str, paper: Paper, where: str, statement: str, stance: str):
    """Turn a function of the effort into a registered :class:`Claim`.

    Parameters
    ----------
    name : str
        A noun phrase in snake case, unique within its topic.
    topic : str
        Name of the topic ("fsl").
    paper : Paper
    where : str
        Theorem, equation or section the sentence stands in.
    statement : str
        The sentence, in one line of mathematics.
    stance : {"stated", "reconstructed", "amended", "derived"}
        Whether the paper says it, we rebuilt it, we corrected it, or it is ours.

    Raises
    ------
    ValueError
        For an unknown stance, an empty field, or an id that is already taken.
    """
    if stance not in STANCES:
        raise ValueError(f"claim {name!r}: stance is {stance!r}; it must be one of {', '.join(STANCES)}")
    for label, text in (("name", name), ("topic", topic), ("where", where), ("statement", statement)):
        if not text.strip() or "\n" in text:
            raise ValueError(f"claim {name!r}: {label} must be one non-empty line, got {text!r}")

    def register(function):
        made = Claim(name, topic, paper, where, statement, stance, function)
        taken = REGISTRY.get(made.id)
        if taken is not None and _origin(taken.run) != _origin(function):
            raise ValueError(f"claim id {made.id!r} is taken already by {taken.run.__module__}")
        REGISTRY[made.id] = made
        return made
    return register


def judge(claim: Claim, effort: Effort) -> Outcome:
    """Run a claim and its controls and give the verdict.

    HOLDS: accepted, and every control rejected.  FAILS: rejected, or the computation broke down.
    TOOTHLESS: accepted, but so was a control.  INCONCLUSIVE: the claim or one of its controls could
    not be decided.  NOT RUN: the machine lacks what the claim needs.  A claim without a control is
    TOOTHLESS by definition.

    Raises
    ------
    StoreFailed
        If chunks can be neither read nor kept (disk full, read-only): that says nothing about the claim.
    """
    start = time.perf_counter()
    evidence, message, missing = _attempt(claim.run, effort)
    if missing:
        return Outcome(claim, Verdict.NOT_RUN, None, seconds=time.perf_counter() - start, message=message)
    seen = tuple((control, *_attempt(control.run, effort)[:2]) for control in claim.controls)
    if evidence is None or evidence.accepted is False:
        verdict = Verdict.FAILS
    elif evidence.accepted is None:
        verdict = Verdict.INCONCLUSIVE
    elif not seen or any(shown is not None and shown.accepted for _, shown, _ in seen):
        verdict = Verdict.TOOTHLESS
    elif any(shown is None or shown.accepted is None for _, shown, _ in seen):
        verdict = Verdict.INCONCLUSIVE
    else:
        verdict = Verdict.HOLDS
    return Outcome(claim, verdict, evidence, seen, time.perf_counter() - start, message)


def _attempt(function, effort):
    """Evidence, message and whether something was missing; a computation that breaks down is no evidence."""
    try:
        return function(effort), "", False
    except (NotRun, DeviceUnavailable) as missing:
        return None, str(missing), True
    except StoreFailed:
        raise   # a full disk is the user's to know, not evidence against the claim
    except (ArithmeticError, ValueError, RuntimeError, LookupError, TypeError, AttributeError, OSError) as error:
        return None, f"{type(error).__name__}: {' '.join(str(error).split())}", False


def _origin(function):
    return function.__module__, inspect.unwrap(function).__qualname__


def _plain(value):
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value.item() if isinstance(value, np.generic) else value
