"""The report and the table: complete, self-contained, escaped, and stable from run to run."""

import io
import json
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from theorycheck import checks, figures
from theorycheck.checks import runner
from theorycheck.checks.claim import Effort, Evidence, Outcome, Verdict
from theorycheck.cli import paper_table
from theorycheck.cli.record import number, to_json, write_text
from theorycheck.cli.report import Report, page, write
from theorycheck.cli.verdicts import exit_code, in_full, remarks, table, tally
from theorycheck.figures.gallery import draw

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Balance(HTMLParser):
    """Checks that tags nest, and collects text, ids, links and sources."""

    def __init__(self, text):
        super().__init__()
        self.open, self.words, self.ids, self.links, self.sources, self.tags = [], [], [], [], [], []
        self.feed(text)
        assert not self.open, self.open

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append(tag)
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.links += [attributes["href"]] if "href" in attributes else []
        self.sources += [attributes["src"]] if "src" in attributes else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)


@pytest.fixture
def outcomes(invented):
    chosen = [*checks.load("good").values(), *checks.load("bad").values()]
    return list(runner.run(chosen, Effort()))


@pytest.fixture
def plates(invented):
    chosen = [*figures.load("good").values(), *figures.load("bad").values()]
    return list(draw(chosen, Effort(), invented / "figures"))


def report(outcomes, plates=(), complete=True):
    return Report(["good", "bad"], outcomes, list(plates), "quick", "cpu", 12.3, complete, 11, 3)


def test_the_page_shows_every_claim_with_its_numbers_and_controls(outcomes, plates):
    seen = Balance(page(report(outcomes, plates)))
    words = " ".join(" ".join(seen.words).split())
    for outcome in outcomes:
        claim = outcome.claim
        assert claim.id in seen.ids
        assert f"#{claim.id}" in seen.links
        assert claim.statement in words and str(outcome.verdict) in words
        for control, _, _ in outcome.controls:
            assert control.description in words
    assert "1.000000001" not in words and "12 s" in words and "effort quick" in words
    assert "ZeroDivisionError: division by zero" in words
    assert "not drawn: RuntimeError: no paper" in words


def test_claims_are_grouped_by_paper_and_ordered_by_place(outcomes):
    text = page(report(outcomes))
    sections = re.split(r"<section>", text)[1:]
    assert len(sections) == 2 and "The Elements" in sections[0] and "Disquisitiones" in sections[1]
    assert re.findall(r'<article id="([^"]*)"', sections[0]) == ["good.parallels", "good.two_is_two"]   # 9 before 10


def test_an_amended_claim_shows_what_is_printed_beside_it(outcomes):
    text = page(report(outcomes))
    sides = re.findall(r'<div class="sides">.*?</div></div>', text)
    assert len(sides) == 1
    words = " ".join(Balance(sides[0]).words)
    assert words == "as printed: rejected parallels never meet as amended: HOLDS parallels meet on spheres"


def test_the_page_stands_alone(outcomes, plates, invented):
    text = write(invented / "page" / "report.html", report(outcomes, plates)).read_text()
    seen = Balance(text)
    assert not {"link", "script", "iframe", "base"} & set(seen.tags)
    assert seen.sources and all(source.startswith("data:image/png;base64,") for source in seen.sources)
    assert "@import" not in text and "url(" not in text
    assert all(link.startswith(("#", "figures/", "https://arxiv.org/abs/")) for link in seen.links)
    assert {link[1:] for link in seen.links if link.startswith("#")} <= set(seen.ids)
    assert str(invented) not in text
    assert [link for link in seen.links if link.startswith("figures/")] == \
        ["figures/good.line.csv", "figures/good.line.pdf"]


def test_an_interrupted_run_says_so(outcomes):
    assert "11 of 11" not in page(report(outcomes))
    assert "<strong>Incomplete.</strong>" in page(report(outcomes[:3], complete=False))
    assert "3 of 11 claims and 0 of 3 figures" in page(report(outcomes[:3], complete=False))


def test_every_verdict_has_a_badge_of_its_own_without_colour(outcomes):
    badges = set(re.findall(r'<span class="badge [a-z_]+">([^<]*)</span>', page(report(outcomes))))
    assert badges == {"\u2713 HOLDS", "\u2717 FAILS", "\u25cb TOOTHLESS", "? INCONCLUSIVE", "\u2013 NOT RUN"}


def test_exit_code_and_tally(outcomes):
    by_verdict = {verdict: [each for each in outcomes if each.verdict is verdict] for verdict in Verdict}
    assert all(by_verdict.values())
    for verdict, some in by_verdict.items():
        assert exit_code(some) == (verdict in (Verdict.FAILS, Verdict.TOOTHLESS))
    assert tally(outcomes) == "11 claims: 2 HOLDS, 3 FAILS, 2 TOOTHLESS, 2 INCONCLUSIVE, 2 NOT RUN"
    assert exit_code([]) == 0 and tally([]) == "0 claims"


def test_what_is_no_failure_is_still_named(outcomes):
    notes = "\n".join(remarks(outcomes))
    for each in outcomes:
        assert (f"note: {each.claim.id} is" in notes) == (each.verdict in (Verdict.INCONCLUSIVE, Verdict.NOT_RUN))
    assert "control '1/0' broke down (ZeroDivisionError: division by zero)" in notes


def test_an_outcome_in_full_names_everything_that_decided(outcomes):
    shown = {each.claim.name: in_full(each) for each in outcomes}
    assert "control ACCEPTED: even this" in shown["easy"]
    assert "as printed rejected: parallels never meet" in shown["parallels"]
    assert "control broke down: 1/0" in shown["shaky_control"]


def sections(outcomes, *topics):
    return {topic: paper_table.section(topic, checks.TOPICS[topic],
                                       [each for each in outcomes if each.claim.topic == topic], "quick")
            for topic in topics}


def test_the_table_is_markdown_with_one_row_to_a_claim(outcomes, invented):
    paper_table.update("table.md", sections(outcomes, "good", "bad"), checks.TOPICS)
    text = (invented / "table.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 11 + 2 * 2   # two sections, each with a heading row and a rule
    # GitHub splits at every bar that is not escaped
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {len(paper_table.COLUMNS) + 1}
    assert "`parallels meet on spheres`<br>as printed, rejected: `parallels never meet`" in text
    assert r"`` \|2\| = 2 < 3 & `x\|y` ``" in text
    assert "Effort: quick. 5 claims: 2 HOLDS, 1 INCONCLUSIVE, 2 NOT RUN." in text


def test_the_table_is_the_same_when_nothing_changed(outcomes, invented):
    paper_table.update("table.md", sections(outcomes, "good", "bad"), checks.TOPICS)
    before = (invented / "table.md").read_bytes()
    slower = [Outcome(each.claim, each.verdict, each.evidence, each.controls, 99.0, each.message) for each in outcomes]
    paper_table.update("table.md", sections(slower[::-1], "good", "bad"), checks.TOPICS)
    assert (invented / "table.md").read_bytes() == before


def test_a_run_replaces_its_own_section_only(outcomes, invented):
    paper_table.update("table.md", sections(outcomes, "bad"), checks.TOPICS)
    paper_table.update("table.md", sections(outcomes, "good"), checks.TOPICS)
    both = (invented / "table.md").read_text()
    assert both.index("begin good") < both.index("begin bad")   # the order of the topics, not of the runs
    changed = [Outcome(each.claim, Verdict.FAILS, each.evidence, each.controls) for each in outcomes]
    paper_table.update("table.md", sections(changed, "good"), checks.TOPICS)
    after = (invented / "table.md").read_text()
    assert after[after.index("<!-- begin bad"):] == both[both.index("<!-- begin bad"):]
    assert "5 claims: 5 FAILS" in after


def with_table(outcome, rows):
    evidence = Evidence(True, 1.0, 1.0, 1e-6, "equal", table=rows)
    return Outcome(outcome.claim, Verdict.HOLDS, evidence, outcome.controls)


CASES = (("method", "order <|>", "F"), ("Adam", 1.000123, "diag(sqrt v)"), ("*Muon*", 0.99949, "(M^T M)^{1/2}"))


def test_a_table_of_cases_is_shown_beneath_its_claim_everywhere(outcomes, invented):
    shown = [with_table(outcomes[0], CASES), *outcomes[1:]]
    seen = Balance(page(report(shown)))
    words = " ".join(" ".join(seen.words).split())
    assert "method order <|> F Adam 1 diag(sqrt v) *Muon* 0.9995 (M^T M)^{1/2}" in words
    assert page(report(outcomes)).count("cases") == 0 and page(report(shown)).count('"numbers cases"') == 1
    mine = [each for each in shown if each.claim.topic == "good"]
    section = paper_table.section("good", "what holds", mine, "quick")
    below = section[section.index(f"`{outcomes[0].claim.id}`:"):].splitlines()
    assert below[2:6] == [r"| method | order \<\|\> | F |", "| --- | --- | --- |", "| Adam | 1 | diag(sqrt v) |",
                          r"| \*Muon\* | 0.9995 | (M^T M)^\{1/2\} |"]
    assert section.startswith(sections(outcomes, "good")["good"].split("\n\n")[0])
    lines = in_full(shown[0]).splitlines()[-4:]
    assert lines[0] == "    method  order <|>  F" and lines[1] == "    ------  ---------  -------------"
    assert lines[2] == "    Adam    1          diag(sqrt v)"
    assert json.loads(to_json(shown[0].record()))["table"][2] == ["*Muon*", 0.99949, "(M^T M)^{1/2}"]
    assert outcomes[0].record()["table"] == []


def test_a_table_with_a_row_too_short_is_refused_and_tables_do_not_tell_evidence_apart():
    with pytest.raises(ValueError, match=r"table has rows of \[2, 1\] cells"):
        Evidence(True, 1.0, 1.0, 0.0, "equal", table=(("a", "b"), ("c",)))
    assert Evidence(True, 1.0, 1.0, 0.0, "equal", table=(("a",), (1.0,))) == Evidence(True, 1.0, 1.0, 0.0, "equal")


@pytest.mark.parametrize("text", ["", "my notes\n", "# What the numbers say\n<!-- begin good -->\ntorn off"])
def test_a_foreign_or_torn_table_is_not_overwritten(outcomes, invented, text):
    (invented / "table.md").write_text(text)
    with pytest.raises(ValueError, match="table is 'table.md', which theorycheck did not write"):
        paper_table.update("table.md", sections(outcomes, "good"), checks.TOPICS)
    assert (invented / "table.md").read_text() == text


def test_writing_leaves_nothing_beside_the_file(invented):
    write_text("folder/file.txt", "one")
    write_text("folder/file.txt", "two")
    assert [path.name for path in (invented / "folder").iterdir()] == ["file.txt"]
    assert (invented / "folder/file.txt").read_text() == "two"


@given(st.floats(-1e300, 1e300), st.integers(2, 8))
def test_numbers_keep_their_digits(value, digits):
    assert float(number(value, digits)) == pytest.approx(value, rel=0.6 * 10.0 ** (1 - digits), abs=0)


@given(st.floats(allow_nan=False, allow_infinity=False).filter(lambda x: "." in repr(x) or "e" in repr(x)))
def test_numbers_inside_a_sentence_are_rounded_alike(value):
    assert number(f"slope {value!r} at M=300 in v1.2.3 of x2") == f"slope {number(value)} at M=300 in v1.2.3 of x2"


@pytest.mark.parametrize(("value", "shown"), [
    (None, ""), (3, "3"), (True, "True"), (float("inf"), "inf"), ([1.0, 2.34567], "[1, 2.346]"),
    (list(range(9)), "[0, 1, 2, 3, 4, ... 9 values]"), ("in [0.123456, 1.5e-07]", "in [0.1235, 1.5e-07]")])
def test_numbers_of_other_kinds(value, shown):
    assert number(value) == shown


def test_json_is_strict(outcomes):
    evidence = Evidence(True, float("nan"), [float("inf")], -float("inf"), "equal")
    record = Outcome(outcomes[0].claim, Verdict.HOLDS, evidence).record()
    back = json.loads(to_json(record), parse_constant=lambda constant: pytest.fail(constant))
    assert (back["measured"], back["expected"], back["tolerance"]) == ("nan", ["inf"], "-inf")


@pytest.mark.parametrize("width", [70, 80, 100, 140, 200])
def test_the_terminal_table_has_whole_names_and_fits(outcomes, width):
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(table(outcomes, width))
    lines = [line for line in console.export_text().splitlines() if line.strip()]
    assert len(lines) == 2 + len(outcomes) and max(map(len, lines)) <= width
    for line, outcome in zip(lines[2:], outcomes):
        assert outcome.claim.id in line and str(outcome.verdict) in line
        assert line.rstrip().endswith(f" {outcome.seconds:.1f}")
