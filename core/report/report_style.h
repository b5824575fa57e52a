// SPDX-License-Identifier: Apache-2.0
// The style sheet of reports: the window's palette, light and dark by what the reader's system asks for.
#pragma once

namespace eigenscope {

inline constexpr const char* kReportStyle = R"css(
:root {
  color-scheme: light dark;
  --window: #f6f7f9; --panel: #ffffff; --edge: #dfe3ea; --text: #1d2430; --muted: #6b7585;
  --keys: #2f6bd8; --keys-wash: #dbe7fb; --values: #d9822b; --values-wash: #fae7d2; --good: #1f9d6a;
}
@media (prefers-color-scheme: dark) {
  :root {
    --window: #15181e; --panel: #1d2129; --edge: #2d333e; --text: #e6eaf0; --muted: #8d97a6;
    --keys: #6ea0ff; --keys-wash: #24344f; --values: #f2a65a; --values-wash: #4a3721;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; padding: 28px 20px 60px; background: var(--window); color: var(--text);
  font: 14px/1.5 Inter, "Segoe UI", "Noto Sans", "DejaVu Sans", system-ui, sans-serif;
  font-variant-numeric: tabular-nums;
}
main { max-width: 1120px; margin: 0 auto; }
header { display: flex; flex-wrap: wrap; align-items: center; gap: 8px; margin-bottom: 14px; }
h1 { font-size: 22px; margin: 0 8px 0 0; }
.chip { border: 1px solid var(--edge); background: var(--panel); border-radius: 999px; padding: 2px 12px; font-size: 13px; }
section { background: var(--panel); border: 1px solid var(--edge); border-radius: 6px; padding: 12px 16px; margin-bottom: 10px; }
h2 { font-size: 14px; margin: 0 0 8px; display: flex; justify-content: space-between; gap: 12px; }
h2 span { font-weight: 400; color: var(--muted); text-align: right; }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(320px, 1fr)); gap: 10px; }
.grid > section { margin: 0; }
.grid { margin-bottom: 10px; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 12px; }
@media (max-width: 760px) { .pair { grid-template-columns: 1fr; } }
.pair h3 { font-size: 13px; margin: 4px 0 0; font-weight: 600; }
.big { font-size: 34px; font-weight: 700; line-height: 1.2; }
.big small { font-size: 14px; font-weight: 400; color: var(--muted); margin-left: 6px; }
.meter { display: flex; height: 12px; background: var(--edge); border-radius: 3px; overflow: hidden; margin: 8px 0 2px; }
.meter i { display: block; height: 100%; }
.meter .keys { background: var(--keys); } .meter .values { background: var(--values); }
.small { font-size: 12px; color: var(--muted); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
td, th { padding: 3px 0 3px 14px; text-align: right; font-weight: 600; white-space: nowrap; }
th { color: var(--muted); font-weight: 400; border-bottom: 1px solid var(--edge); }
td:first-child, th:first-child { text-align: left; padding-left: 0; font-weight: 400; }
table.facts td { text-align: right; white-space: normal; overflow-wrap: anywhere; }
table.facts td:first-child { color: var(--muted); white-space: nowrap; text-align: left; }
.prompt { color: var(--muted); }
.story { white-space: pre-wrap; overflow-wrap: anywhere; margin: 8px 0; font-size: 15px; line-height: 1.65; }
mark { background: var(--values-wash); color: inherit; border-radius: 3px; padding: 0 2px; }
mark.first { outline: 2px solid var(--values); }
.tag { font-size: 12px; font-weight: 400; color: var(--keys); background: var(--keys-wash); border-radius: 999px; padding: 1px 9px; margin-left: 6px; }
pre { margin: 0; overflow-x: auto; font: 13px/1.6 "JetBrains Mono", "DejaVu Sans Mono", monospace; }
footer { color: var(--muted); font-size: 12px; margin-top: 14px; }
.plot { width: 100%; height: auto; display: block; font-family: inherit; }
.plot .line { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
.plot .line.dashed { stroke-dasharray: 5 4; stroke-width: 1.3; }
.plot .line.dotted { stroke-dasharray: 2 3; stroke-width: 1.2; }
.plot .line.keys { stroke: var(--keys); } .plot .line.values { stroke: var(--values); } .plot .line.muted { stroke: var(--muted); }
.plot .fill.keys { fill: var(--keys); } .plot .fill.values { fill: var(--values); } .plot .fill.muted { fill: var(--muted); }
.plot .wash.keys { fill: var(--keys-wash); } .plot .wash.values { fill: var(--values-wash); }
.plot .grid { stroke: var(--edge); stroke-width: 1; } .plot .axis { stroke: var(--muted); stroke-width: 1; }
.plot text { font-size: 11px; fill: var(--muted); }
.plot text.mark { font-weight: 600; }
.plot text.mark.keys { fill: var(--keys); } .plot text.mark.values { fill: var(--values); }
@media print { body { padding: 0; background: none; } section { break-inside: avoid; } }
)css";

}  // namespace eigenscope
