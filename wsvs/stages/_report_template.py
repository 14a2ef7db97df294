"""Style and script of the report's page."""

from __future__ import annotations

STYLE = """
:root{color-scheme:light dark;--line:#8885}
*{box-sizing:border-box}
body{margin:0;font:16px/1.45 system-ui,sans-serif}
header{position:sticky;top:0;z-index:1;background:Canvas;border-bottom:1px solid var(--line);padding:.4rem 1rem}
h1{font-size:1.2rem;margin:0;overflow-wrap:anywhere}
h2{font-size:1.1rem;margin:1.6rem 0 .5rem}
nav{display:flex;gap:.2rem 1rem;overflow-x:auto;white-space:nowrap}
main{padding:0 1rem 3rem;max-width:1400px;margin:auto}
section{scroll-margin-top:4.5rem}
.wide{overflow-x:auto;margin:.4rem 0}
table{border-collapse:collapse;font-size:.9rem}
th,td{border:1px solid var(--line);padding:.2rem .5rem;text-align:left;font-variant-numeric:tabular-nums}
.confusion td{text-align:right}
.controls{display:flex;flex-wrap:wrap;gap:.4rem 1rem;align-items:center}
select,button,input{font:inherit}
button{margin:1rem 0;padding:.4rem 1rem}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(150px,1fr));gap:.8rem}
.card{font-size:.8rem;overflow-wrap:anywhere;margin:0}
.card img{width:100%;display:block;margin-bottom:2px}
.curves{display:grid;grid-template-columns:repeat(auto-fill,minmax(260px,1fr));gap:1rem}
figure{margin:0}
svg text{font-size:11px;fill:currentColor}
:focus-visible{outline:3px solid #1e6fb3;outline-offset:2px}
"""

SCRIPT = """
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const page = 60;

function element(kind, content, properties) {
  const made = Object.assign(document.createElement(kind), properties || {});
  for (const child of [].concat(content)) if (child !== null) made.append(child);
  return made;
}
function picture(source, words) {
  return source ? element("img", [], {src: source, alt: words, title: words, loading: "lazy"}) : null;
}
function link(address, content) {
  return address ? element("a", content, {href: address, rel: "noreferrer"}) : element("span", content);
}

const cards = document.getElementById("shot-cards");
if (cards) {
  const more = document.getElementById("more");
  const [chosen, key, up] = ["class", "sort", "up"].map(id => document.getElementById(id));
  let rows = [], shown = 0;
  const card = shot => element("figure", [
    link(shot.clip, [
      picture(shot.mask, "mask of " + shot.shot),
      picture(shot.attention, "attention of " + shot.shot),
      picture(shot.motion, "motion of " + shot.shot),
      shot.shot,
    ]),
    element("figcaption", [
      shot.class + ", score " + shot.score.toFixed(3) + ", " + shot.frames + " frames, area "
        + (100 * shot.area).toFixed(1) + " %" + (shot.energy === null ? "" : ", energy " + shot.energy) + " ",
      shot.url ? link(shot.url, "source") : null,
    ]),
  ], {className: "card"});
  const add = () => {
    const next = rows.slice(shown, shown + page);
    cards.append(...next.map(card));
    shown += next.length;
    more.hidden = shown >= rows.length;
  };
  const compare = (a, b) => {
    const [x, y] = [a[key.value], b[key.value]];
    if (x === null || y === null) return (x === null) - (y === null);
    const order = x < y ? -1 : x > y ? 1 : 0;
    return (order || (a.shot < b.shot ? -1 : 1)) * (up.checked || key.value === "class" ? 1 : -1);
  };
  const fill = () => {
    rows = data.shots.filter(shot => !chosen.value || shot.class === chosen.value).sort(compare);
    shown = 0;
    cards.replaceChildren();
    document.getElementById("count").textContent = rows.length + " shots";
    add();
  };
  for (const control of [chosen, key, up]) control.addEventListener("change", fill);
  more.addEventListener("click", () => {
    const first = shown;
    add();
    const links = cards.children[first] && cards.children[first].querySelector("a");
    if (links) links.focus({preventScroll: true});
  });
  document.querySelector("form.controls").addEventListener("submit", event => event.preventDefault());
  if ("IntersectionObserver" in window)
    new IntersectionObserver(seen => { if (seen[0].isIntersecting && !more.hidden) add(); }, {rootMargin: "600px"})
      .observe(more);
  fill();
}

const images = document.getElementById("prediction-cards");
if (images) images.append(...data.predictions.map(one => element("figure", [
  link(one.file, [picture(one.prediction, "prediction of " + one.id), picture(one.truth, "true mask of " + one.id)]),
  element("figcaption", one.id + ", mean IoU " + one.iou.toFixed(3)),
], {className: "card"})));
"""
