"""Style and script of the report's page."""

from __future__ import annotations

STYLE = """
:root{color-scheme:light dark;--paper:#faf9f7;--card:#fff;--ink:#20242a;--soft:#5b646e;--line:#e2dfd9;
--accent:#0a5c9c;--tint:10,92,156;--most:.6}
@media (prefers-color-scheme:dark){:root{--paper:#14171a;--card:#1c2024;--ink:#e8eaec;--soft:#a0a9b2;--line:#32383f;
--accent:#7cbcf2;--tint:124,188,242;--most:.45}}
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
.notes{background:var(--card);border:1px solid var(--line);border-left:4px solid var(--accent);border-radius:8px;
margin:1.2rem 0 0;padding:.6rem 1rem .6rem 2rem;font-size:.92rem;overflow-wrap:anywhere}
.tile{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:.6rem 1rem}
.tile b{display:block;font-size:1.7rem;line-height:1.2;font-weight:600;font-variant-numeric:tabular-nums}
.tile span{display:block;color:var(--soft);font-size:.85rem;line-height:1.4}
.wide{overflow-x:auto;margin:.4rem 0;max-width:100%}
table{border-collapse:collapse;font-size:.9rem;background:var(--card)}
th,td{border:1px solid var(--line);padding:.3rem .7rem;text-align:left;vertical-align:top}
tbody th{font-weight:400}
thead th{color:var(--soft);font-weight:500;white-space:nowrap;background:var(--paper)}
.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.bar{background:linear-gradient(to right,rgba(var(--tint),.2) calc(100%*var(--share)),transparent 0);min-width:5.5rem}
.heat{background:rgba(var(--tint),calc(var(--share)*var(--most)))}
.flow tbody th{white-space:nowrap}
.flow tbody th:first-child{color:var(--soft)}
.flow .opens>*{border-top:2px solid var(--soft)}
.scores td:nth-child(3){min-width:16rem}
.commands code{overflow-wrap:anywhere}
.commands td:nth-child(3){min-width:18rem}
.commands td:nth-child(4){min-width:14rem}
code{font:.85em/1.4 ui-monospace,"DejaVu Sans Mono",monospace}
details{margin:.5rem 0}
summary{cursor:pointer;padding:.2rem 0}
.controls,.pager{display:flex;flex-wrap:wrap;gap:.5rem 1rem;align-items:center;margin:.6rem 0;font-size:.92rem}
.pager[hidden],.pager [hidden]{display:none}
select,button{font:inherit;color:inherit;background:var(--card);border:1px solid var(--line);border-radius:6px;
padding:.3rem .6rem;min-height:2.2rem}
button{cursor:pointer}
button:hover:enabled,select:hover{border-color:var(--accent)}
button:disabled{opacity:.4;cursor:default}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(190px,1fr));gap:.9rem}
.pairs{grid-template-columns:repeat(auto-fill,minmax(280px,1fr))}
figure{margin:0;background:var(--card);border:1px solid var(--line);border-radius:8px;overflow:hidden}
.card .pictures{display:grid;grid-template-columns:1fr 1fr;gap:2px}
.card img{width:100%;display:block;background:var(--line)}
.cards:not(.pairs) .card img:first-child{grid-column:1/3}
figcaption{padding:.5rem .7rem .6rem;font-size:.84rem;line-height:1.45;overflow-wrap:anywhere}
figcaption b{font-weight:600;unicode-bidi:isolate}
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
function pictures(address, shown) {
  const made = shown.filter(([source]) => source).map(([source, words]) =>
    element("img", [], {src: source, alt: words, title: words}));
  return made.length === 0 ? null : address ? link(address, made, "pictures")
    : element("div", made, {className: "pictures"});
}
function title(name) {  // a line of it ends after a slash if it can
  return element("b", name.split(/(?<=[/])/).flatMap(part => [part, element("wbr", [])]));
}
function link(address, content, kind) {
  return element("a", content, {href: address, rel: "noreferrer", className: kind || ""});
}
function number(value, digits, before, after) {
  return value === null ? null : before + value.toFixed(digits) + after;
}

// Shows rows as cards, so many at a time: pictures of other pages are not in the document.
function gallery(key, card, count) {
  const host = document.getElementById(key + "-cards");
  const pagers = [...document.querySelectorAll("#" + key + "-gallery .pager")];
  let rows = [], first = 0;
  const show = () => {
    const shown = rows.slice(first, first + page);
    host.replaceChildren(...shown.map(card));
    for (const pager of pagers) {
      const place = rows.length > page ? first + 1 + " to " + (first + shown.length) + " of " : "";
      pager.querySelector("output").textContent = place + count(rows.length);
      pager.querySelector(".back").disabled = first === 0;
      pager.querySelector(".on").disabled = first + page >= rows.length;
      for (const button of pager.querySelectorAll("button")) button.hidden = rows.length <= page;
    }
    pagers[1].hidden = rows.length <= page;
  };
  const turn = (pages, pager) => {
    first += pages * page;
    show();
    if (pager === pagers[1]) pagers[0].scrollIntoView();
    if (document.activeElement.disabled || document.activeElement === document.body)
      pagers[0].querySelector("button:enabled").focus({preventScroll: true});
  };
  for (const pager of pagers) {
    pager.querySelector(".back").addEventListener("click", () => turn(-1, pager));
    pager.querySelector(".on").addEventListener("click", () => turn(1, pager));
  }
  return found => {
    rows = found;
    first = 0;
    show();
  };
}

if (document.getElementById("shots-gallery")) {
  const [chosen, key, order] = ["class", "sort", "order"].map(id => document.getElementById(id));
  const card = shot => element("figure", [
    pictures(shot.clip, [
      [shot.mask, "mask of " + shot.shot],
      [shot.attention, "attention in " + shot.shot],
      [shot.motion, "motion in " + shot.shot],
    ]),
    element("figcaption", [
      title(shot.shot),
      element("div", [
        number(shot.score, 3, "score ", ""), number(shot.energy, 1, "energy ", ""),
        number(shot.area === null ? null : 100 * shot.area, 1, "area ", " %"), shot.frames + " frames",
        (shot.cuts || []).length ? shot.cuts.length + 1 + " shots, cuts at " + shot.cuts.join(", ") + " s" : null,
        number(shot.confidence ?? null, 2, "confidence ", ""), shot.uncertain ? "no own motion: no mask" : null,
      ].filter(part => part !== null).map(part => element("span", part)), {className: "facts"}),
      element("div", [
        shot.clip ? link(shot.clip, "clip") : null, shot.url ? link(shot.url, "source") : null,
      ], {className: "links"}),
    ]),
  ], {className: "card"});
  const compare = (a, b) => {
    const [x, y] = [a[key.value], b[key.value]];
    if (x === null || y === null) return (x === null) - (y === null);
    const found = x < y ? -1 : x > y ? 1 : a.shot < b.shot ? -1 : 1;
    return key.value === "class" ? (x < y ? -1 : x > y ? 1 : b.score - a.score || found) : order.value === "up" ? found
      : -found;
  };
  const all = () => Object.entries(data.inAll).filter(([name]) => !chosen.value || name === chosen.value)
    .reduce((sum, [, count]) => sum + count, 0);
  const show = gallery("shots", card, shown => {
    const rest = all() - shown;
    return shown + (rest === 0 ? "" : shown > page ? " (" + all() + " in the run)" : " of " + all()) + " shots";
  });
  const fill = () => {
    order.disabled = key.value === "class";
    show(data.shots.filter(shot => !chosen.value || shot.class === chosen.value).sort(compare));
  };
  for (const control of [chosen, key, order]) control.addEventListener("change", fill);
  document.querySelector("form.controls").addEventListener("submit", event => event.preventDefault());
  fill();
}

for (const list of ["best", "worst"])
  if (document.getElementById(list + "-gallery")) gallery(list, one => element("figure", [
    pictures(one.file, [
      [one.prediction, "prediction of " + one.id], [one.truth, "true mask of " + one.id],
    ]),
    element("figcaption", [title(one.id), ", mean IoU " + one.iou.toFixed(3)]),
  ], {className: "card"}), shown => shown + " images")(data[list]);
"""
