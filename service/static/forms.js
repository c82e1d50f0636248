// Sends the forms that ask for it without leaving the page, and puts what the server answers where it belongs. Without this
// file they are plain forms: the server renders everything, and not a word of what was typed is lost.

const asked = new WeakMap();

async function send(form, fields) {
  const answer = await fetch(form.action, { method: "POST", body: new URLSearchParams(fields) });
  return { answer, page: new DOMParser().parseFromString(await answer.text(), "text/html") };
}

// The parts of the form that say how it stands, and its fields as the server understands them. The part in which somebody
// is typing is left alone, but for its mistake; a text that was changed by another field keeps its caret.
function put(form, page) {
  const held = document.activeElement;
  for (const part of form.querySelectorAll("[data-part]")) {
    const next = page.getElementById(part.id);
    if (!next || next.outerHTML === part.outerHTML) continue;
    if (part.contains(held)) {
      for (const old of part.querySelectorAll(".mistake")) old.textContent = page.getElementById(old.id)?.textContent ?? "";
      const text = held.matches("textarea") && page.getElementById(held.id);
      if (text && text.value !== held.value) held.setRangeText(text.value, 0, held.value.length, "preserve");
      continue;
    }
    for (const fold of part.querySelectorAll("details[open]")) page.getElementById(fold.id)?.setAttribute("open", "");
    part.replaceWith(document.adoptNode(next));
  }
  for (const field of form.elements) {
    const next = field.id && page.getElementById(field.id);
    if (next) field.setAttribute("aria-invalid", next.getAttribute("aria-invalid") ?? "false");
  }
}

async function submit(form, button) {
  const fields = new FormData(form, button);
  const mark = {};
  asked.set(form, mark);
  button.disabled = true;
  try {
    const { answer, page } = await send(form, fields);
    if (answer.redirected && new URL(answer.url).pathname !== location.pathname) { location.assign(answer.url); return; }
    if (!answer.ok && !form.querySelector("[data-part]")) button.textContent = "Did not work; try again";
    // An answer to a text that was changed meanwhile would undo the change.
    if (asked.get(form) === mark) put(form, page);
    // What comes back with a mistake keeps what was typed: the page around it stays as it is.
    if (answer.ok) form.closest(".ask")?.removeAttribute("open");
    if (answer.ok) document.dispatchEvent(new Event("windtunnel:changed"));
  } catch (error) {
    const box = form.querySelector(".errors") ?? button;
    box.textContent = `The server does not answer: ${error.message}`;
    box.hidden = false;
  } finally {
    button.disabled = false;
  }
}

// What the job would take, a moment after the last stroke; an answer that another one has overtaken is dropped.
async function estimate(form) {
  const fields = new FormData(form);
  fields.set("do", "estimate");
  const mark = {};
  asked.set(form, mark);
  const { page } = await send(form, fields).catch(() => ({}));
  if (page && asked.get(form) === mark) put(form, page);
}

// In the text of a spec, select the last name of the pointer.
function select(text, pointer) {
  let at = 0;
  let found = "";
  for (const name of pointer.split("/").filter((part) => part && !/^\d+$/.test(part))) {
    const next = text.value.indexOf(`"${name}"`, at);
    if (next < 0) break;
    [at, found] = [next, name];
  }
  text.focus();
  if (found) text.setSelectionRange(at + 1, at + 1 + found.length);
}

document.addEventListener("submit", (event) => {
  if (!event.target.matches("[data-in-place]")) return;
  event.preventDefault();
  submit(event.target, event.submitter ?? event.target.querySelector("button"));
});

document.addEventListener("input", (event) => {
  const form = event.target.closest("[data-estimate]");
  if (!form) return;
  asked.delete(form);
  clearTimeout(form.pause);
  form.pause = setTimeout(() => estimate(form), 600);
});

document.addEventListener("click", async (event) => {
  const { copy, pointer } = event.target.dataset;
  const text = pointer && document.getElementById(event.target.hash.slice(1));
  if (text instanceof HTMLTextAreaElement) {
    event.preventDefault();
    select(text, pointer);
  }
  if (!copy) return;
  await navigator.clipboard.writeText(document.getElementById(copy).textContent);
  event.target.textContent = "Copied";
  setTimeout(() => { event.target.textContent = "Copy"; }, 1500);
});
