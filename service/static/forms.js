// Sends the forms as JSON and shows what the server says next to the field, without losing a word of what was typed.

async function post(address, body) {
  const csv = typeof body === "string";
  const options = { method: "POST", headers: { "content-type": csv ? "text/csv" : "application/json" } };
  if (body !== undefined) options.body = csv ? body : JSON.stringify(body);
  const answer = await fetch(address, options);
  return { ok: answer.ok, content: await answer.json() };
}

function show(form, detail, errors) {
  const box = form.querySelector(".errors");
  const line = (error) => {
    const item = document.createElement("li");
    const where = document.createElement("button");
    Object.assign(where, { type: "button", className: "pointer", textContent: error.pointer || "the whole request" });
    where.addEventListener("click", () => focusField(form, error.pointer));
    item.append(where, ` ${error.message}`);
    return item;
  };
  const list = document.createElement("ul");
  list.append(...errors.map(line));
  box.replaceChildren(errors.length ? list : detail);
  box.hidden = false;
  for (const field of form.elements) {
    const wrong = errors.some((error) => error.pointer === `/${field.name}`);
    if (field.name) field.setAttribute("aria-invalid", String(wrong));
  }
}

// In the text of a spec, select the last name of the pointer; in a form with fields, go to the field.
function focusField(form, pointer) {
  const names = pointer.split("/").slice(1);
  const text = form.elements.spec;
  const field = text ?? form.elements[names[0]];
  field?.focus();
  if (!text) return;
  let at = 0;
  let found = "";
  for (const name of names.filter((part) => !/^\d+$/.test(part))) {
    const next = text.value.indexOf(`"${name}"`, at);
    if (next < 0) break;
    [at, found] = [next, name];
  }
  if (found) text.setSelectionRange(at + 1, at + 1 + found.length);
}

function content(form) {
  if (form.elements.csv) return form.elements.csv.value;
  if (form.elements.spec) return JSON.parse(form.elements.spec.value);
  const body = {};
  for (const field of form.elements) {
    if (!field.name) continue;
    if (field.type === "checkbox") body[field.name] = field.checked;
    else if (field.value !== "" && "list" in field.dataset) body[field.name] = [field.value];
    else if (field.value !== "") body[field.name] = field.type === "number" ? Number(field.value) : field.value;
  }
  return body;
}

// What a job would take, in one sentence; where it does not fit, the fields that would have to change.
function tell(form, { run_equivalents: runs, seconds, memory, estimator, hyperparameters, measured_by: worker, notes, changes }) {
  const size = (bytes) => `${Math.ceil(bytes / 2 ** 20).toLocaleString("en")} MiB`;
  const time = seconds < 90 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`;
  const line = document.getElementById("estimate");
  line.textContent = `About ${Math.round(runs).toLocaleString("en")} runs of the proxy and ${time} ${worker ? "on the worker here" : "on a reference core"}; `
    + `${size(memory.peak)} of memory, ${size(memory.limit)} allowed; ${hyperparameters} hyperparameters, estimator ${estimator}.`
    + notes.map((note) => ` ${note}.`).join("");
  line.hidden = false;
  if (changes.length) show(form, "", changes);
  else form.querySelector(".errors").hidden = true;
}

async function submit(form, address, done) {
  const button = form.querySelector("button.primary");
  button.disabled = true;
  try {
    const { ok, content: answer } = await post(address, content(form));
    if (ok) done(answer);
    else show(form, answer.detail, answer.errors);
  } catch (error) {
    const reason = error instanceof SyntaxError ? `This is not JSON: ${error.message}` : `The server does not answer: ${error.message}`;
    show(form, reason, []);
  } finally {
    button.disabled = false;
  }
}

document.addEventListener("submit", (event) => {
  if (!event.target.matches("[data-submit]")) return;
  event.preventDefault();
  const { submit: address, page } = event.target.dataset;
  submit(event.target, address, (answer) => location.assign(page + answer.id));
});

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-post], [data-copy], [data-estimate]");
  if (!button) return;
  if (button.dataset.estimate) {
    submit(button.form, button.dataset.estimate, (answer) => tell(button.form, answer));
    return;
  }
  if (button.dataset.copy) {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
    return;
  }
  button.disabled = true;
  const done = await post(button.dataset.post).catch(() => ({ ok: false }));
  if (!done.ok) {
    button.textContent = "Did not work; try again";
    button.disabled = false;
  }
  document.dispatchEvent(new Event("windtunnel:changed"));
});
