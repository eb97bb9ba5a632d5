"use strict";
// The cards of all photos exist from the start; their contents, with the images, only near the visible part.
const photos = JSON.parse(document.getElementById("facts").textContent);
const main = document.getElementById("photos");
const search = document.getElementById("search");
const sort = document.getElementById("sort");
const cards = [];
let show = "all";

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function link(file) {
  if (!file.href) return element("span", "", file.text);
  const made = element("a", "", file.text);
  made.href = file.href;
  return made;
}

function image(data, className, alt) {
  const made = element("img", className);
  made.decoding = "async";
  made.alt = alt;
  made.src = "data:image/webp;base64," + data;
  return made;
}

// A photo before and after, with a slider: a transparent range input over the whole frame.
function pane(photo, number, before, after, size, caption) {
  const figure = element("figure");
  const frame = element("div", "frame");
  frame.style.aspectRatio = `${size[0]} / ${size[1]}`;
  if (after) frame.append(image(after, "after", `${photo.name}, after`));
  if (before) frame.append(image(before, "before", `${photo.name}, before`));
  if (before && after) {
    const range = element("input");
    range.type = "range";
    range.step = "any";
    range.setAttribute("aria-label", `Before and after: ${photo.name}${number ? ", detail" : ""}`);
    const move = () => {
      photo.at[number] = range.value;
      frame.style.setProperty("--at", `${range.value}%`);
      range.setAttribute("aria-valuetext", `${Math.round(range.value)} percent before`);
    };
    range.value = photo.at[number];
    range.addEventListener("input", move);
    range.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -2, ArrowDown: -2, ArrowRight: 2, ArrowUp: 2, PageDown: -20, PageUp: 20 }[event.key];
      if (step === undefined) return;
      event.preventDefault();
      range.value = Number(range.value) + step;
      move();
    });
    frame.querySelector(".after").classList.add("cut");
    frame.append(element("span", "bar"), element("span", "side left", "before"), element("span", "side right", "after"), range);
    move();
  } else {
    frame.style.setProperty("--at", "100%");
  }
  figure.append(frame, element("figcaption", "", caption));
  return figure;
}

function samples(photo, images, frame) {
  const strip = element("div", "samples", `${photo.samples} samples`);
  const buttons = images.map((data, index) => {
    const button = element("button");
    button.type = "button";
    button.append(image(data, "", `Sample ${index + 1}`));
    button.addEventListener("click", () => {
      photo.sample = index;
      frame.querySelector(".after").src = "data:image/webp;base64," + data;
      buttons.forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
    });
    button.setAttribute("aria-pressed", String(index === photo.sample));
    return button;
  });
  strip.append(...buttons);
  if (images.length < photo.samples) strip.append(`the first ${images.length} are shown`);
  return strip;
}

function panes(photo, stored) {
  const made = element("div", "panes");
  const before = stored[0];
  const after = stored.slice(1, 1 + photo.shown);
  const size = photo.size || photo.result_size;
  const sizes = [photo.size, photo.result_size].filter(Boolean).map((pair) => pair.join(" × "));
  const caption = [...new Set(sizes)].join(" → ") + " pixels";
  const whole = pane(photo, 0, before, after[photo.sample], size, caption);
  made.append(whole);
  if (photo.detail) {
    const [left, top, width, height] = photo.detail;
    const mark = element("span", "mark");
    mark.style.left = `${(100 * left) / photo.size[0]}%`;
    mark.style.top = `${(100 * top) / photo.size[1]}%`;
    mark.style.width = `${(100 * width) / photo.size[0]}%`;
    mark.style.height = `${(100 * height) / photo.size[1]}%`;
    whole.querySelector(".bar").before(mark);
    const [first, second] = stored.slice(1 + photo.shown);
    made.append(pane(photo, 1, first, second, [width, height], `Largest change: ${width} × ${height} pixels`));
  }
  return after.length > 1 ? [made, samples(photo, after, whole)] : [made];
}

function fill(card) {
  const photo = card.photo;
  const about = element("div", "about");
  about.append(element("span", photo.state, photo.state));
  if (photo.seconds !== null) about.append(element("span", "", `${photo.seconds.toFixed(1)} s`));
  if (photo.change !== null) about.append(element("span", "", `mean change ${photo.change.toFixed(1)} of 255`));
  if (photo.source.text) about.append(link(photo.source));
  about.append(...photo.results.map(link));
  card.append(about);
  if (photo.error) card.append(element("p", "error", photo.error));
  const data = document.getElementById(`p${photo.number}`);
  if (data) {
    const stored = JSON.parse(data.textContent);
    if (photo.size || photo.shown) card.append(...panes(photo, stored));
  }
  if (photo.notes.length) {
    const list = element("ul", "notes");
    list.append(...photo.notes.map((note) => element("li", "", note)));
    card.append(list);
  }
  card.filled = Boolean(data) || document.readyState !== "loading";
}

// Remove the contents of a card, unless one of them has the focus; return whether they were removed.
function clear(card) {
  if (card.contains(document.activeElement)) return false;
  card.filled = false;
  while (card.children.length > 1) card.lastChild.remove();
  return true;
}

const near = new IntersectionObserver(
  (changes) => {
    for (const { target, isIntersecting } of changes) {
      if (isIntersecting && !target.filled && clear(target)) fill(target);
      else if (!isIntersecting && target.filled) clear(target);
    }
  },
  { rootMargin: "800px" },
);

const orders = {
  order: (a, b) => a.number - b.number,
  name: (a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }) || a.number - b.number,
  seconds: (a, b) => (b.seconds ?? -1) - (a.seconds ?? -1) || a.number - b.number,
  change: (a, b) => (b.change ?? -1) - (a.change ?? -1) || a.number - b.number,
  failed: (a, b) => Number(b.state === "failed") - Number(a.state === "failed") || a.number - b.number,
};

function arrange() {
  cards.sort((a, b) => orders[sort.value](a.photo, b.photo));
  main.append(...cards);
}

function filter() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const card of cards) {
    const photo = card.photo;
    const wanted = show === "all" || (show === "failed" ? photo.state === "failed" : photo.notes.length > 0);
    const found = wanted && words.every((word) => photo.searched.includes(word));
    card.hidden = !found;
    count += found;
  }
  document.getElementById("count").textContent = count === cards.length ? `${count} photos` : `${count} of ${cards.length} photos`;
  document.getElementById("empty").hidden = count > 0;
}

photos.forEach((photo, number) => {
  Object.assign(photo, { number, at: [50, 50], sample: 0 });
  photo.searched = [photo.name, photo.error, ...photo.notes].join("\n").toLowerCase();
  const card = element("article", `card ${photo.state}`);
  card.photo = photo;
  card.append(element("h2", "", photo.name));
  cards.push(card);
});
main.classList.toggle("narrow", photos.every((photo) => !photo.detail));
arrange();
filter();
cards.forEach((card) => near.observe(card));
if (photos.every((photo) => photo.change === null)) sort.querySelector("[value=change]").remove();
search.addEventListener("input", filter);
sort.addEventListener("change", arrange);
document.querySelectorAll("[data-show]").forEach((button, _, all) =>
  button.addEventListener("click", () => {
    show = button.dataset.show;
    all.forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
    filter();
  }),
);
// Cards that were filled before their images had been read.
document.addEventListener("DOMContentLoaded", () => {
  for (const card of cards) {
    if (card.childElementCount > 1 && !card.filled && clear(card)) fill(card);
  }
  document.body.dataset.ready = "true";
});
