// Keeps a page current without a reload: an event or a tick fetches the page again, swaps the parts marked data-live,
// and draws the figures. The server renders everything; this file holds no markup.

const dark = matchMedia("(prefers-color-scheme: dark)");
const drawn = new Map();
let refreshing = false, again = false;

function theme() { return dark.matches ? "dark" : "light"; }

async function draw(figure) {
  const address = figure.dataset.figure;
  const answer = await fetch(`${address}${address.includes("?") ? "&" : "?"}theme=${theme()}`);
  if (answer.status !== 200) return;
  const text = await answer.text();
  if (drawn.get(figure) === text) return;
  drawn.set(figure, text);
  const { data, layout } = JSON.parse(text);
  figure.hidden = false;
  await window.Plotly.react(figure.querySelector(".plot"), data, layout, { displayModeBar: false, responsive: true });
}

// As it is seen, on the page's own ground: light text on nothing could not be read on white paper.
function save(figure, format) {
  const { data, layout } = JSON.parse(drawn.get(figure));
  const { width, height } = figure.querySelector(".plot").getBoundingClientRect();
  const ground = getComputedStyle(figure).backgroundColor;
  const size = { width: Math.round(width), height: Math.round(height), scale: 2 };
  return window.Plotly.downloadImage({ data, layout: { ...layout, paper_bgcolor: ground } }, { ...size, format, filename: figure.id });
}

function drawAll(selector) {
  return Promise.all([...document.querySelectorAll(selector)].map(draw));
}

// Somebody who is typing or choosing in a part, or who is asked whether they are sure, keeps it as it is.
function busy(part) {
  const held = document.activeElement;
  return part.contains(held) && held.matches("input, select, textarea") || part.querySelector(".ask[open]");
}

async function refresh() {
  if (refreshing) { again = true; return; }
  refreshing = true;
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    if (answer.ok) swap(new DOMParser().parseFromString(await answer.text(), "text/html"));
    await drawAll("[data-following], [data-live] [data-figure]");
  } catch (error) {
    // The server is away: the stream and the next tick try again.
    if (!(error instanceof TypeError)) throw error;
  } finally {
    refreshing = false;
    if (again) { again = false; refresh(); }
  }
}

function swap(fresh) {
  for (const part of document.querySelectorAll("[data-live]")) {
    const next = fresh.getElementById(part.id);
    if (!next || next.outerHTML === part.outerHTML || busy(part)) continue;
    for (const box of part.querySelectorAll("[data-choice]:checked")) {
      const same = next.querySelector(`[data-choice][value="${box.value}"]`);
      if (same) same.checked = true;
    }
    part.replaceWith(document.adoptNode(next));
  }
}

// A browser has six connections to a server, whatever the number of its tabs: a worker that all tabs share holds one
// stream. Where there are no such workers, only a tab that is seen has a stream.
function follow(job, worker) {
  const hear = (said) => { if (said === "all" || said === job) refresh(); };
  if (!window.SharedWorker) { followAlone(worker, hear); return; }
  let port = null;
  const begin = () => {
    port = new SharedWorker(worker, "windtunnel-follow").port;
    port.onmessage = (message) => hear(message.data);
  };
  // The worker is not told that a tab has gone; a page that comes back from the browser's history begins again.
  addEventListener("pagehide", () => { port?.postMessage("bye"); port?.close(); port = null; });
  addEventListener("pageshow", () => { if (!port) { begin(); refresh(); } });
  begin();
}

function followAlone(worker, hear) {
  let source = null;
  const look = () => {
    if (document.hidden) { source?.close(); source = null; return; }
    if (source) return;
    source = new EventSource(new URL("../changes", new URL(worker, location)));
    source.onopen = () => hear("all");
    source.addEventListener("changed", (event) => hear(event.data));
  };
  // A full reload must not count the open stream as an error.
  addEventListener("pagehide", () => { source?.close(); source = null; });
  document.addEventListener("visibilitychange", look);
  look();
}

// Between two events the progress still moves; a page that nobody sees asks for nothing.
function tick() {
  const seconds = Number(document.querySelector("[data-tick]")?.dataset.tick ?? 0);
  if (!seconds) return;
  setTimeout(async () => { if (!document.hidden) await refresh(); tick(); }, 1000 * seconds);
}

const followed = document.querySelector("[data-follow]");
if (followed) follow(followed.dataset.follow, followed.dataset.worker);
dark.addEventListener("change", () => drawAll("[data-figure]"));
document.addEventListener("windtunnel:changed", refresh);
document.addEventListener("click", (event) => {
  const { save: format } = event.target.dataset;
  if (format) save(event.target.closest("[data-figure]"), format);
});
tick();
await drawAll("[data-figure]");
