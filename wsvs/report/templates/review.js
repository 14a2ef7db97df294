// A review: answers are sent to the server one at a time, each after the previous one was saved.
let answers = {}, own = [], classes = [], gone = new Set(), waiting_answers = [], sending = false;
const SHOWN_TAGS = 9;  // one for each digit

function answerOf(item) {
  return answers[item.number] || {verdict: null, tags: null};
}
function tagsOf(item) {
  return answerOf(item).tags || own[item.number] || [];
}
function shownTags(item) {  // selected by a digit: its own tags first, then the others in the order of the classes
  return [...new Set([...(own[item.number] || []), ...tagsOf(item), ...classes])].slice(0, SHOWN_TAGS);
}
function wordsOf(item) {
  const found = answerOf(item), words = {accept: "accepted", reject: "rejected"}[found.verdict];
  return [words, found.tags && "tags: " + (found.tags.join(", ") || "none")].filter(one => one).join(", ");
}
function say(item, change) {
  if (gone.has(item.number)) return;
  answers[item.number] = {...answerOf(item), ...change};
  waiting_answers.push({to: "answer", item: item.number, ...answers[item.number]});
  refresh();
  send();
}
function undo() {
  waiting_answers.push({to: "undo"});
  send();
}
async function send() {
  if (sending) return;
  sending = true;
  while (waiting_answers.length) {
    const {to, ...said} = waiting_answers[0];
    let answer;
    try {
      answer = await fetch(to, {method: "POST", body: JSON.stringify(said)});
    } catch {
      notify("not saved, the server does not respond: " + waiting_answers.length);
      await new Promise(done => setTimeout(done, 1000));
      continue;
    }
    waiting_answers.shift();
    if (answer.ok) {
      const {items} = await answer.json(), later = new Set(waiting_answers.map(one => one.item));
      for (const [number, found] of Object.entries(items)) if (!later.has(+number)) answers[number] = found;
      refresh();
      const numbers = Object.keys(items).map(Number);
      if (to === "undo") jump(numbers);
      notify(to === "undo" ? (numbers.length ? "undone" : "nothing to undo on this page") : "saved");
    } else {
      waiting_answers = [];
      await begin();
      notify("not saved: " + await answer.text());
    }
  }
  sending = false;
}
function jump(numbers) {
  const next = rows.findIndex(item => numbers.includes(item.number));
  if (next >= 0 && $("viewer").open) go(next - place);
}
function notify(words) {
  $("review-said").textContent = words;
}
function refresh() {
  const found = data.items.map(answerOf), count = test => found.filter(test).length;
  $("review-count").textContent = count(one => one.verdict || one.tags) + " of " + found.length + " answered: "
    + count(one => one.verdict === "accept") + " accepted, " + count(one => one.verdict === "reject") + " rejected, "
    + count(one => one.tags) + " with other tags";
  document.querySelectorAll("#cards .card").forEach((card, k) => {
    const item = rows[first + k];
    card.dataset.verdict = answerOf(item).verdict || "";
    card.querySelector(".verdict").textContent = wordsOf(item);
  });
  if ($("viewer").open) bar(rows[place]);
}
function bar(item) {
  const found = answerOf(item), tags = tagsOf(item), lost = gone.has(item.number);
  for (const verdict of ["accept", "reject"]) {
    $("review-" + verdict).setAttribute("aria-pressed", found.verdict === verdict);
    $("review-" + verdict).disabled = lost;
  }
  $("review-tags").replaceChildren(...shownTags(item).map((name, k) => {
    const made = element("button", [element("u", String(k + 1)), " " + name], {type: "button", disabled: lost});
    made.setAttribute("aria-pressed", tags.includes(name));
    made.addEventListener("click", () => toggle(item, name));
    return made;
  }));
  $("review-other").disabled = lost;
  if (lost) notify("the file no longer exists");
}
function toggle(item, name) {  // a shot has one class
  const tags = tagsOf(item);
  say(item, {tags: item.kind === "shot" ? [name]
    : tags.includes(name) ? tags.filter(one => one !== name) : [...tags, name]});
}
function judge(verdict) {
  const item = rows[place];
  if (answerOf(item).verdict !== verdict) say(item, {verdict});
  if (place < rows.length - 1) go(1); else notify("this was the last item");
}
function showReview(item) {
  notify("");
  bar(item);
  const next = rows[place + 1];
  if (next && next.kind === "image" && next.file) new Image().src = next.file;
}
async function begin() {
  const found = await (await fetch("state")).json();
  ({answers, tags: own, classes} = found);
  gone = new Set(found.gone);
  $("review-classes").replaceChildren(...classes.map(name => element("option", [], {value: name})));
  refresh();
}

added.card = () => element("div", [], {className: "verdict"});
added.keep = item => ({"": true, open: !answers[item.number] || !(answerOf(item).verdict || answerOf(item).tags),
  tags: !!answerOf(item).tags}[$("review-filter").value] ?? answerOf(item).verdict === $("review-filter").value);
added.view = showReview;
added.keys = {
  y: () => judge("accept"), n: () => judge("reject"), u: undo, t: () => $("review-other").focus(),
  ...Object.fromEntries(Array.from({length: SHOWN_TAGS}, (_, k) => [String(k + 1), () => {
    const name = shownTags(rows[place])[k];
    if (name) toggle(rows[place], name);
  }])),
};
$("review-accept").addEventListener("click", () => judge("accept"));
$("review-reject").addEventListener("click", () => judge("reject"));
for (const id of ["review-undo", "review-back"]) $(id).addEventListener("click", undo);
$("review-other").addEventListener("keydown", event => {
  if (event.key !== "Enter" && event.key !== "Escape") return;
  event.preventDefault();
  event.stopPropagation();
  const typed = event.target.value.trim();
  const name = classes.find(one => one === typed) || classes.find(one => one.startsWith(typed) && typed);
  if (event.key === "Enter" && name) toggle(rows[place], name);
  else if (event.key === "Enter" && typed) notify("there is no class " + typed);
  event.target.value = "";
  $("viewer-on").focus();
});
document.addEventListener("keydown", event => {  // the viewer has keys of its own
  if (event.key === "u" && !$("viewer").open && !event.ctrlKey && !event.metaKey && !event.target.matches("input,select")) undo();
});
$("review-filter").addEventListener("change", choose);
$("review-start").addEventListener("click", () => {
  const open = rows.findIndex(item => !answerOf(item).verdict);
  if (rows.length) { view(Math.max(open, 0)); refresh(); }
});
$("review-done").addEventListener("click", async () => {
  if (sending) return notify("answers are being saved");
  await fetch("done", {method: "POST", body: "{}"});
  document.querySelector("main").replaceChildren(element("p", "The review is saved. This page can be closed."));
});
addEventListener("beforeunload", event => { if (waiting_answers.length) event.preventDefault(); });
added.show = refresh;
choose();  // make the cards again, with the review's additions
begin().catch(() => { $("review-count").textContent = "the server does not answer"; });
