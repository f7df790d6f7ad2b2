"""The style sheet of the report: one column of text, system fonts, light or dark as the reader's screen is."""

CSS = """
:root { color-scheme: light dark; --ink: #1b1b1b; --soft: #5c5c5c; --line: #d9d9d9; --paper: #fdfdfc; --tint: #f3f3f0;
  --holds: #14664f; --fails: #a8200d; --toothless: #8a2a73; --open: #7a5200; --link: #0b4a99; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e6e1; --soft: #a5a29a; --line: #3c3c3a; --paper: #191918;
  --tint: #242422; --holds: #5fd0ab; --fails: #ff8f7a; --toothless: #e79bd3; --open: #e9bd5b; --link: #8fbcff; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.7rem; margin: 0 0 1rem; } h2 { font-size: 1.25rem; line-height: 1.3; margin: 3rem 0 .25rem; }
h3 { font-size: 1.02rem; margin: 0; } h4 { font-size: .85rem; margin: 0 0 .3rem; color: var(--soft); }
a { color: var(--link); } .source, .where, .judge, figcaption, .legend { color: var(--soft); font-size: .9rem; }
.source, .where, .judge { margin: .1rem 0 .6rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: 0; font-size: .92rem; }
dt { color: var(--soft); } dd { margin: 0; }
article { border-top: 1px solid var(--line); padding: 1.1rem 0 .6rem; }
.id { font-family: ui-monospace, monospace; font-weight: 600; overflow-wrap: anywhere; }
.statement { font: .95rem/1.5 ui-monospace, monospace; background: var(--tint); border-left: 3px solid var(--line);
  padding: .5rem .8rem; margin: .4rem 0 .7rem; overflow-wrap: anywhere; }
.sides { display: grid; grid-template-columns: repeat(auto-fit, minmax(17rem, 1fr)); gap: 0 1rem; }
.printed .statement { border-left-style: dashed; } .amended .statement { border-left-color: currentColor; }
.badge { display: inline-block; font: 600 .78rem/1.5 system-ui, sans-serif; letter-spacing: .03em; padding: 0 .5em;
  border: 1.5px solid currentColor; border-radius: .25rem; white-space: nowrap; margin-right: .35rem; }
.holds { color: var(--holds); } .fails { color: var(--fails); border-width: 3px; }
.toothless { color: var(--toothless); border-style: double; border-width: 4px; }
.inconclusive { color: var(--open); border-style: dashed; } .not_run { color: var(--soft); border-style: dotted; }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: .88rem; margin: .3rem 0 .6rem; }
th, td { text-align: left; vertical-align: top; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid var(--line); }
th { font-weight: 500; color: var(--soft); } tbody th { max-width: 22rem; }
.numbers td { font-variant-numeric: tabular-nums; } .note { font-size: .9rem; margin: .2rem 0; }
.contents { margin: 1.6rem 0; } summary { cursor: pointer; font-weight: 600; } .legend { padding-left: 1.2rem; }
.incomplete { border: 3px double var(--fails); padding: .6rem 1rem; }
figure { margin: 1.6rem 0 2.4rem; }
figure img { max-width: 100%; height: auto; background: #fff; border-radius: .25rem; }
@media print { .contents { break-after: page; } article, figure { break-inside: avoid; } }
"""
