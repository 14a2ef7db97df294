"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const page = 48;
const $ = id => document.getElementById(id);
const KINDS = {image: "images", video: "videos", shot: "shots of the crawled videos"};
const FIGURES = {  // key: [name, factor, digits, unit]
  confidence: ["confidence", 1, 2, ""], area: ["area", 100, 1, " %"], change: ["change", 1, 2, ""],
  iou: ["IoU", 1, 3, ""], score: ["score", 1, 3, ""], energy: ["energy", 1, 1, ""], frames: ["frames", 1, 0, ""],
};

function element(kind, content, properties) {
  const made = Object.assign(document.createElement(kind), properties || {});
  for (const child of [].concat(content)) if (child !== null) made.append(child);
  return made;
}
function broken(name) {  // allow a line break after a slash
  return name.split(/(?<=[/])/).flatMap(part => [part, element("wbr", [])]);
}
function link(address, content) {
  return element("a", content, {href: address, rel: "noreferrer"});
}
function written(key, value) {
  const [name, factor, digits, unit] = FIGURES[key];
  return name + " " + (factor * value).toFixed(digits) + unit;
}
function dot(name) {
  const made = element("i", [], {className: "dot"});
  if (data.colours[name]) made.style.background = data.colours[name];
  return made;
}
function links(item) {
  const words = {image: "image", video: "video", shot: "clip"};
  return [item.file ? link(item.file, words[item.kind]) : null, item.overlay ? link(item.overlay, "overlay") : null,
    item.url ? link(item.url, "source") : null].filter(one => one !== null);
}

// Hooks for the script of a review.
const added = {card: () => null, keep: () => true, show: () => {}, view: () => {}, keys: {}};

// Thumbnails come after this script, so those of the first page may not be loaded yet.
function thumbnail(number, line) {
  const found = $("t" + number);
  return found && found.textContent.split("\n")[line];
}
function fill(image) {
  const found = thumbnail(image.dataset.number, image.dataset.line);
  if (found) image.src = found;
  else if (found === "" || document.readyState !== "loading") image.classList.add("none");
  return found || found === "" || document.readyState !== "loading";
}
let waiting = [];
function wait() {
  waiting = waiting.filter(image => image.isConnected && !fill(image));
  if (waiting.length) setTimeout(wait, 50);
}

// The gallery: items of one kind and class in an order, a page of them at a time.
data.items.forEach((item, number) => item.number = number);
let rows = [], first = 0;

function figures(item) {  // of the chosen class
  const known = {frames: item.frames, ...(item.classes[$("class").value] || item.whole)};
  return Object.keys(FIGURES).filter(key => known[key] !== undefined).map(key => [key, known[key]]);
}
function card(item) {
  const image = (line, words) => {
    const made = element("img", [], {alt: words, title: words});
    Object.assign(made.dataset, {number: item.number, line});
    if (!fill(made)) waiting.push(made);
    return made;
  };
  const terms = item.kind === "shot" && document.readyState !== "loading";
  const open = element("button", [
    image(0, "mask of " + item.name), ...["attention", "motion"].map((term, k) => terms && thumbnail(item.number, k + 1)
      ? image(k + 1, term + " in " + item.name) : null),
  ], {type: "button", className: "open"});
  open.addEventListener("click", () => view(rows.indexOf(item)));
  const classes = Object.entries(item.classes).filter(([, found]) => found.area || item.kind === "shot").sort(([, a], [, b]) => b.area - a.area);
  return element("figure", [open, element("figcaption", [
    element("b", broken(item.name)),
    added.card(item),
    element("div", classes.map(([name]) => element("span", [dot(name), name])), {className: "facts"}),
    element("div", [
      ...figures(item).map(([key, value]) => written(key, value)),
      item.cuts ? item.cuts.length + 1 + " shots, cuts at " + item.cuts.join(", ") + " s" : null,
      item.uncertain ? "no own motion: no mask" : null,
    ].filter(part => part !== null).map(part => element("span", part)), {className: "facts"}),
    element("div", links(item), {className: "links"}),
  ].filter(part => part !== null))], {className: "card"});
}
function show() {
  const shown = rows.slice(first, first + page), total = data.inAll[$("kind").value];
  waiting = [];
  $("cards").replaceChildren(...shown.map(card));
  wait();
  const several = rows.length > page, cut = data.items.filter(item => item.kind === $("kind").value).length < total;
  for (const pager of document.querySelectorAll(".pager")) {
    pager.querySelector("output").textContent = (several ? first + 1 + " to " + (first + shown.length) + " of " : "")
      + rows.length + " " + KINDS[$("kind").value].split(" ")[0] + (cut ? " (" + total + " in the runs)" : "");
    pager.querySelector(".back").disabled = first === 0;
    pager.querySelector(".on").disabled = first + page >= rows.length;
    for (const button of pager.querySelectorAll("button")) button.hidden = !several;
  }
  document.querySelectorAll(".pager")[1].hidden = !several;
  added.show();
}
function turn(pages, pager) {
  const pagers = document.querySelectorAll(".pager");
  first += pages * page;
  show();
  if (pager === pagers[1]) pagers[0].scrollIntoView();
  if (document.activeElement.disabled || document.activeElement === document.body)
    pagers[0].querySelector("button:enabled").focus({preventScroll: true});
}
function choose() {
  const [name, key, sign] = [$("class").value, $("sort").value, $("order").value === "down" ? -1 : 1];
  const value = item => key === "frames" ? item.frames : key === "name" ? item.name
    : (name ? item.classes[name] : item.whole)[key];
  rows = data.items.filter(item => item.kind === $("kind").value && (!name || item.classes[name]) && added.keep(item));
  if (key) rows.sort((a, b) => {
    const [x, y] = [value(a), value(b)];
    if (x === undefined || y === undefined) return (x === undefined) - (y === undefined) || a.number - b.number;
    return x < y ? -sign : x > y ? sign : a.number - b.number;
  });
  $("order").disabled = !key;
  first = 0;
  show();
}
function options(select, pairs) {
  const old = select.value;
  select.replaceChildren(...pairs.map(([value, words]) => element("option", words, {value})));
  if (pairs.some(([value]) => value === old)) select.value = old;
}
function chooseKind() {
  const items = data.items.filter(item => item.kind === $("kind").value);
  const classes = new Set(items.flatMap(item => Object.keys(item.classes)));
  const known = key => items.some(item => (key === "frames" ? item : item.whole)[key] !== undefined);
  options($("class"), [["", "all"], ...[...classes].sort().map(name => [name, name])]);
  options($("sort"), [["", "order of the run"], ["name", "name"],
    ...Object.keys(FIGURES).filter(known).map(key => [key, FIGURES[key][0]])]);
  choose();
}

// One item at full size.
let place = 0;

function view(number) {
  place = number;
  const item = rows[place], moving = item.kind !== "image";
  $("viewer-name").replaceChildren(...broken(item.name));
  $("viewer-place").textContent = place + 1 + " of " + rows.length;
  $("viewer-back").disabled = place === 0;
  $("viewer-on").disabled = place === rows.length - 1;
  $("viewer").classList.toggle("moving", moving);
  $("viewer-links").replaceChildren(...links(item));
  options($("left"), [["", "no mask"], ["before", "mask of the round before"], ["truth", "true mask"]]
    .filter(([key]) => !key || item[key]));
  $("heat-label").hidden = !thumbnail(item.number, 1);
  if ($("heat-label").hidden) $("show-heat").checked = false;
  table(item);
  const sources = moving ? [] : [item.file, item.overlay, thumbnail(item.number, 0)].filter(one => one);
  const image = $("layer-image");
  image.alt = item.name;
  image.onload = () => image.parentNode.style.setProperty("--ratio", image.naturalWidth / image.naturalHeight);
  image.onerror = () => {  // a format that the browser cannot show, or a deleted file
    sources.shift();
    $("viewer").classList.add("drawn");  // overlays contain the mask
    if (sources.length) image.src = sources[0];
  };
  $("viewer").classList.toggle("drawn", !item.file);
  const video = $("viewer-video");
  video.onerror = null;
  if (moving) {
    video.poster = thumbnail(item.number, 0) || "";
    image.src = thumbnail(item.number, 0) || "data:,";  // under its attention
    play(item, 0);
  } else {
    video.removeAttribute("src");
    video.load();
    if (sources.length) image.src = sources[0];
    $("layer-mask").src = item.mask || "data:,";
  }
  layers();
  added.view(item);
  if (!$("viewer").open) $("viewer").showModal();
}
function play(item, time) {  // from the given time: the overlay with the mask, or the clip without it
  const video = $("viewer-video"), own = item.overlay && $("show-mask").checked;
  const address = own ? item.overlay : item.file;
  if (!address) {
    video.removeAttribute("src");
    video.load();
    return;
  }
  const [start, end] = own || !item.span ? [0, ""] : [item.span[0], "," + item.span[1]];
  video.src = address + "#t=" + (start + time) + end;
  video.play().catch(() => {});  // the browser may require a click, or the file may be deleted
}
function layers() {
  const item = rows[place], left = $("left").value, line = left || $("line").value > 0 ? +$("line").value : 0;
  const shown = $("show-mask").checked, heat = $("show-heat").checked;
  for (const layer of ["mask", "left"]) $("layer-" + layer).style.opacity = $("opacity").value;
  $("layer-mask").hidden = !shown || item.kind !== "image";
  $("layer-left").hidden = !shown || !left;
  if (left) $("layer-left").src = item[left];
  $("layer-mask").style.clipPath = "inset(0 0 0 " + line + "%)";
  $("layer-left").style.clipPath = "inset(0 " + (100 - line) + "% 0 0)";
  $("layer-line").style.left = line + "%";
  $("layer-line").hidden = !shown || line === 0 || line === 100;
  $("layer-heat").hidden = !heat;
  $("viewer").classList.toggle("attended", heat && item.kind !== "image");
  if (heat) $("layer-heat").src = thumbnail(item.number, 1);
}
function table(item) {
  const found = [["all", item.whole], ...Object.entries(item.classes)];
  const keys = Object.keys(FIGURES).filter(key => found.some(([, one]) => one[key] !== undefined));
  const row = (kind, cells) => element("tr", cells.map((one, k) =>
    element(k ? kind : "th", one, {className: k ? "number" : "", scope: k && kind === "td" ? "" : kind === "td" ? "row" : "col"})));
  $("viewer-figures").replaceChildren(
    element("thead", row("th", ["class", ...keys.map(key => FIGURES[key][0])])),
    element("tbody", found.map(([name, one]) => row("td", [
      name === "all" ? name : element("span", [dot(name), name]),
      ...keys.map(key => one[key] === undefined ? "\u2013" : written(key, one[key]).slice(FIGURES[key][0].length + 1)),
    ]))),
  );
}
function go(steps) {
  const next = place + steps;
  if (next < 0 || next >= rows.length) return;
  if (Math.floor(next / page) * page !== first) {
    first = Math.floor(next / page) * page;
    show();
  }
  view(next);
}

if ($("gallery") && data.items.length) {
  options($("kind"), Object.keys(KINDS).filter(kind => data.items.some(item => item.kind === kind))
    .map(kind => [kind, KINDS[kind]]));
  $("kind").addEventListener("change", chooseKind);
  for (const id of ["class", "sort", "order"]) $(id).addEventListener("change", choose);
  document.querySelector("form.controls").addEventListener("submit", event => event.preventDefault());
  for (const pager of document.querySelectorAll(".pager")) {
    pager.querySelector(".back").addEventListener("click", () => turn(-1, pager));
    pager.querySelector(".on").addEventListener("click", () => turn(1, pager));
  }
  $("viewer-back").addEventListener("click", () => go(-1));
  $("viewer-on").addEventListener("click", () => go(1));
  $("viewer-close").addEventListener("click", () => $("viewer").close());
  for (const id of ["opacity", "line", "left", "show-heat"]) $(id).addEventListener("input", layers);
  $("left").addEventListener("input", () => { if (+$("line").value === 0) $("line").value = 50; layers(); });
  $("show-mask").addEventListener("input", () => {
    const item = rows[place], time = $("viewer-video").currentTime;
    if (item.kind !== "image" && item.overlay && item.file)
      play(item, Math.max(0, time - ($("show-mask").checked && item.span ? item.span[0] : 0)));
    layers();
  });
  $("viewer").addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("select,video,input:not([type=checkbox])")) return;
    const keys = {
      ArrowLeft: () => go(-1), ArrowRight: () => go(1), m: () => $("show-mask").click(),
      a: () => { if (!$("heat-label").hidden) $("show-heat").click(); }, ...added.keys,
    };
    if (keys[event.key]) {
      event.preventDefault();
      keys[event.key]();
    }
  });
  $("viewer").addEventListener("close", () => {
    $("viewer-video").removeAttribute("src");
    $("viewer-video").load();
    document.querySelectorAll("#cards .open")[place - first].focus();
  });
  document.addEventListener("DOMContentLoaded", () => { if (rows.some(item => item.kind === "shot")) show(); });
  chooseKind();
}
