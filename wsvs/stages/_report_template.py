"""Style and script of the report's page."""

from __future__ import annotations

STYLE = """
:root{color-scheme:light dark;--paper:#faf9f7;--card:#fff;--ink:#20242a;--soft:#5b646e;--line:#e2dfd9;
--accent:#0a5c9c;--tint:10,92,156;--on:#fff}
@media (prefers-color-scheme:dark){:root{--paper:#14171a;--card:#1c2024;--ink:#e8eaec;--soft:#a0a9b2;--line:#32383f;
--accent:#7cbcf2;--tint:124,188,242;--on:#0c1116}}
*{box-sizing:border-box}
html{scroll-padding-top:5.5rem}
body{margin:0;font:16px/1.5 system-ui,"Segoe UI",Roboto,"Noto Sans","DejaVu Sans",sans-serif;background:var(--paper);
color:var(--ink)}
header{position:sticky;top:0;z-index:1;background:var(--paper);border-bottom:1px solid var(--line);
padding:.7rem max(1rem,calc(50% - 620px)) 0}
h1{font-size:1.25rem;line-height:1.2;margin:0 0 .2rem;overflow-wrap:anywhere}
h2{font-size:1.2rem;margin:0 0 .7rem}
h3{font-size:1rem;margin:1.2rem 0 .5rem}
nav a{color:var(--soft);text-decoration:none;padding:.35rem 0 .45rem;border-bottom:2px solid transparent}
nav a:hover{color:var(--ink);border-color:var(--accent)}
header nav{display:flex;gap:0 1.1rem;overflow-x:auto;scrollbar-width:none;white-space:nowrap;font-size:.92rem}
main,footer{max-width:1272px;margin:auto;padding:0 1rem}
section{padding:1.6rem 0 1.2rem;border-bottom:1px solid var(--line)}
section:last-of-type{border:0}
footer{padding-bottom:2rem;font-size:.85rem}
a{color:var(--accent)}
.soft{color:var(--soft);max-width:75ch;margin:.3rem 0 .8rem;font-size:.92rem}
footer.soft{max-width:1272px;margin:auto}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(8.5rem,14rem));gap:.8rem;margin-top:1.2rem}
.tiles:empty{display:none}
.tile{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:.6rem 1rem}
.tile b{display:block;font-size:1.7rem;line-height:1.2;font-weight:600;font-variant-numeric:tabular-nums}
.tile span{display:block;color:var(--soft);font-size:.85rem;line-height:1.4}
.wide{overflow-x:auto;margin:.4rem 0;max-width:100%}
table{border-collapse:collapse;font-size:.9rem;background:var(--card)}
th,td{border:1px solid var(--line);padding:.3rem .7rem;text-align:left;vertical-align:top}
thead th{color:var(--soft);font-weight:500;white-space:nowrap;background:var(--paper)}
.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.bar{background:linear-gradient(to right,rgba(var(--tint),.2) calc(100%*var(--share)),transparent 0);min-width:5.5rem}
.heat{background:rgba(var(--tint),var(--share))}
.heat.on{color:var(--on)}
.flow td:first-child{color:var(--soft)}
.flow .opens td{border-top:2px solid var(--soft)}
.commands code{overflow-wrap:anywhere}
.commands td:nth-child(3){min-width:18rem}
.commands td:nth-child(4){min-width:14rem}
code{font:.85em/1.4 ui-monospace,"DejaVu Sans Mono",monospace}
details{margin:.5rem 0}
summary{cursor:pointer;padding:.2rem 0}
.controls,.pager{display:flex;flex-wrap:wrap;gap:.5rem 1rem;align-items:center;margin:.6rem 0;font-size:.92rem}
.pager[hidden]{display:none}
select,button{font:inherit;color:inherit;background:var(--card);border:1px solid var(--line);border-radius:6px;
padding:.3rem .6rem;min-height:2.2rem}
button{cursor:pointer}
button:hover:enabled,select:hover{border-color:var(--accent)}
button:disabled{opacity:.4;cursor:default}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(190px,1fr));gap:.9rem}
.pairs{grid-template-columns:repeat(auto-fill,minmax(280px,1fr))}
figure{margin:0;background:var(--card);border:1px solid var(--line);border-radius:8px;overflow:hidden}
.card a.pictures{display:grid;grid-template-columns:1fr 1fr;gap:2px}
.card img{width:100%;display:block;background:var(--line)}
.cards:not(.pairs) .card img:first-child{grid-column:1/3}
figcaption{padding:.5rem .7rem .6rem;font-size:.84rem;line-height:1.45;overflow-wrap:anywhere}
figcaption b{font-weight:600}
.card .facts{display:flex;flex-wrap:wrap;gap:0 .8rem;color:var(--soft);font-variant-numeric:tabular-nums;margin:.1rem 0}
.facts span{white-space:nowrap}
.card .links a{margin-right:.8rem}
.curves{display:grid;grid-template-columns:repeat(auto-fill,minmax(270px,1fr));gap:.9rem}
.curves figcaption{display:flex;justify-content:space-between;font-variant-numeric:tabular-nums;padding-bottom:0}
svg{display:block;width:100%}
svg text{font-size:11px;fill:var(--soft)}
svg .grid{stroke:var(--line)}
polyline{fill:none;stroke:var(--accent);stroke-width:1.7;stroke-linejoin:round}
circle{fill:var(--accent)}
:focus-visible{outline:3px solid var(--accent);outline-offset:2px}
@media (max-width:480px){.cards:not(.pairs){grid-template-columns:1fr 1fr;gap:.6rem}
.tiles{grid-template-columns:1fr 1fr}
figcaption{padding:.4rem .5rem .5rem}}
"""

SCRIPT = """
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const page = 48;

function element(kind, content, properties) {
  const made = Object.assign(document.createElement(kind), properties || {});
  for (const child of [].concat(content)) if (child !== null) made.append(child);
  return made;
}
function picture(source, words) {
  return source ? element("img", [], {src: source, alt: words, title: words, loading: "lazy"}) : null;
}
function link(address, content, kind) {
  return address ? element("a", content, {href: address, rel: "noreferrer", className: kind || ""})
    : element("span", content, {className: kind || ""});
}
function number(value, digits, before, after) {
  return value === null ? null : before + value.toFixed(digits) + after;
}

const cards = document.getElementById("shot-cards");
if (cards) {
  const [chosen, key, order] = ["class", "sort", "order"].map(id => document.getElementById(id));
  const pagers = [...document.querySelectorAll(".pager")];
  let rows = [], first = 0;
  const card = shot => element("figure", [
    link(shot.clip, [
      picture(shot.mask, "mask of " + shot.shot),
      picture(shot.attention, "attention in " + shot.shot),
      picture(shot.motion, "motion in " + shot.shot),
    ], "pictures"),
    element("figcaption", [
      element("b", shot.shot),
      element("div", [
        number(shot.score, 3, "score ", ""), number(shot.energy, 1, "energy ", ""),
        number(shot.area === null ? null : 100 * shot.area, 1, "area ", " %"), shot.frames + " frames",
      ].filter(part => part !== null).map(part => element("span", part)), {className: "facts"}),
      element("div", [
        shot.clip ? link(shot.clip, "clip") : null, shot.url ? link(shot.url, "source") : null,
      ], {className: "links"}),
    ]),
  ], {className: "card"});
  const show = () => {
    const shown = rows.slice(first, first + page);
    cards.replaceChildren(...shown.map(card));
    for (const pager of pagers) {
      const place = rows.length > page ? first + 1 + " to " + (first + shown.length) + " of " : "";
      pager.querySelector("output").textContent = place + rows.length + " shots";
      pager.querySelector(".back").disabled = first === 0;
      pager.querySelector(".on").disabled = first + page >= rows.length;
      for (const button of pager.querySelectorAll("button")) button.hidden = rows.length <= page;
    }
    pagers[1].hidden = rows.length <= page;
  };
  const compare = (a, b) => {
    const [x, y] = [a[key.value], b[key.value]];
    if (x === null || y === null) return (x === null) - (y === null);
    const found = x < y ? -1 : x > y ? 1 : a.shot < b.shot ? -1 : 1;
    return key.value === "class" ? (x < y ? -1 : x > y ? 1 : b.score - a.score || found) : order.value === "up" ? found
      : -found;
  };
  const fill = () => {
    rows = data.shots.filter(shot => !chosen.value || shot.class === chosen.value).sort(compare);
    first = 0;
    order.disabled = key.value === "class";
    show();
  };
  const turn = (pages, pager) => {
    first += pages * page;
    show();
    if (pager === pagers[1]) pagers[0].scrollIntoView();
    if (document.activeElement.disabled || document.activeElement === document.body)
      pagers[0].querySelector("button:enabled").focus({preventScroll: true});
  };
  for (const control of [chosen, key, order]) control.addEventListener("change", fill);
  for (const pager of pagers) {
    pager.querySelector(".back").addEventListener("click", () => turn(-1, pager));
    pager.querySelector(".on").addEventListener("click", () => turn(1, pager));
  }
  document.querySelector("form.controls").addEventListener("submit", event => event.preventDefault());
  fill();
}

for (const list of ["best", "worst"]) {
  const images = document.getElementById(list);
  if (images) images.append(...data[list].map(one => element("figure", [
    link(one.file, [
      picture(one.prediction, "prediction of " + one.id), picture(one.truth, "true mask of " + one.id),
    ], "pictures"),
    element("figcaption", [element("b", one.id), ", mean IoU " + one.iou.toFixed(3)]),
  ], {className: "card"})));
}
"""
