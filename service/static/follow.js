// Runs once for all tabs of a browser: holds the one stream of changes, and tells each tab the ids of jobs that changed,
// or "all" when the stream has begun (again) and something may have been missed.

const tabs = new Set();
let source = null;

function tell(said) { for (const tab of tabs) tab.postMessage(said); }

function open() {
  source = new EventSource(new URL("../changes", location));
  source.onopen = () => tell("all");
  source.addEventListener("changed", (event) => tell(event.data));
}

onconnect = (event) => {
  const tab = event.ports[0];
  tabs.add(tab);
  tab.onmessage = () => {
    tabs.delete(tab);
    if (!tabs.size && source) { source.close(); source = null; }
  };
  // A stream that was refused is closed for good: the viewer had signed out, or the server had no place.
  if (!source || source.readyState === EventSource.CLOSED) open();
  else if (source.readyState === EventSource.OPEN) tab.postMessage("all");
};
