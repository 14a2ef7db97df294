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
    return key.value === "category" ? (x < y ? -1 : x > y ? 1 : b.score - a.score || found) : order.value === "up" ? found
      : -found;
  };
  const all = () => Object.entries(data.inAll).filter(([name]) => !chosen.value || name === chosen.value)
    .reduce((sum, [, count]) => sum + count, 0);
  const show = gallery("shots", card, shown => {
    const rest = all() - shown;
    return shown + (rest === 0 ? "" : shown > page ? " (" + all() + " in the run)" : " of " + all()) + " shots";
  });
  const fill = () => {
    order.disabled = key.value === "category";
    show(data.shots.filter(shot => !chosen.value || shot.category === chosen.value).sort(compare));
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
