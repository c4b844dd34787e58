// The page of llama-gene serve. Nothing from outside becomes HTML: text goes in as text, by `element`.

const byId = (id) => document.getElementById(id);
const TSV_BREAKS = /[\t\r\n]+/g;
const MOST_BARS = 20;
let key = "";
let model = "";
let tasks = [];
let shown = null;

// A new element with attributes and children; strings become text.
function element(name, attributes = {}, ...children) {
  const made = name === "svg" || "svg" in attributes ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) {
    if (attribute !== "svg") made.setAttribute(attribute, value);
  }
  made.append(...children);
  return made;
}

class Refused extends Error {}

async function ask(path, body, signal) {
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  const options = body ? { method: "POST", headers: { ...headers, "Content-Type": "application/json" }, body: JSON.stringify(body), signal } : { headers };
  let reply;
  try {
    reply = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused("the server does not answer");
  }
  if (reply.status === 401) byId("key-form").hidden = false;
  if (!reply.ok) {
    const told = await reply.json().catch(() => null);
    throw new Refused(told?.error?.message ?? `status ${reply.status}`);
  }
  return reply;
}

function say(id, text, bad = false) {
  byId(id).textContent = text;
  byId(id).className = bad ? "bad" : "";
}

// Tabs: arrows move, as in any tab list.
const tabs = [...document.querySelectorAll("[role=tab]")];
function select(tab) {
  for (const other of tabs) {
    const chosen = other === tab;
    other.setAttribute("aria-selected", String(chosen));
    other.tabIndex = chosen ? 0 : -1;
    byId(other.getAttribute("aria-controls")).hidden = !chosen;
  }
}
for (const [place, tab] of tabs.entries()) {
  tab.addEventListener("click", () => select(tab));
  tab.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = tabs[(place + step + tabs.length) % tabs.length];
    select(next);
    next.focus();
  });
}

// Predict.
function chosenTask() {
  return tasks.find((task) => task.name === byId("task").value);
}

function showTask() {
  const task = chosenTask();
  byId("question").textContent = task ? task.question : "The model was tuned on no task; the chat goes on with texts.";
  byId("inputs").replaceChildren(...(task?.inputs ?? []).flatMap((input, place) => {
    const id = `input-${place}`;
    const kind = input.kind === "dna" ? "DNA" : "protein";
    const area = element("textarea", { id, rows: "6", class: "sequence", spellcheck: "false", required: "", placeholder: ">name\n..." });
    area.addEventListener("dragover", (event) => { event.preventDefault(); area.classList.add("over"); });
    area.addEventListener("dragleave", () => area.classList.remove("over"));
    area.addEventListener("drop", async (event) => {
      const [file] = event.dataTransfer.files;
      area.classList.remove("over");
      if (!file) return;
      event.preventDefault();
      area.value = await file.text();
    });
    const name = task.inputs.length > 1 ? `${input.role}: FASTA of ${kind}` : `FASTA of ${kind}; paste it, or drop a file`;
    return [element("label", { for: id }, name), area];
  }));
}

function example() {
  const letters = { dna: "ACGT", protein: "ACDEFGHIKLMNPQRSTVWY" };
  for (const [place, input] of (chosenTask()?.inputs ?? []).entries()) {
    const alphabet = letters[input.kind];
    let state = 17 + place;
    const draw = () => Array.from({ length: 60 }, () => {
      state = (state * 48271) % 2147483647; // Lehmer's generator: the same example each time
      return alphabet[state % alphabet.length];
    }).join("");
    byId(`input-${place}`).value = [1, 2, 3].map((number) => `>example${number}\n${draw()}\n`).join("");
  }
}

async function predict() {
  const task = chosenTask();
  if (!task) return;
  const fasta = task.inputs.map((_, place) => byId(`input-${place}`).value);
  // Bare letters are one record.
  const named = fasta.map((text) => (/^\s*[A-Za-z*\s]+$/.test(text) ? `>sequence\n${text}` : text));
  say("status", "...");
  try {
    const answer = await (await ask("/v1/predict", { task: task.name, fasta: named })).json();
    shown = { task, results: answer.results, fasta: named };
    showResults();
    const cut = answer.results.filter((row) => row.cut_tokens).length;
    const notes = [cut ? `, ${cut} of them shortened to fit` : "", answer.calibrated ? "; probabilities are calibrated" : ""];
    say("status", `${answer.results.length} answered${notes.join("")}`);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    say("status", error.message, true);
  }
}

function table() {
  const { task, results } = shown;
  const labels = results[0]?.probabilities ? task.labels : [];
  const head = ["id", { regression: "value", text: "answer" }[task.kind] ?? "label", ...(labels.length ? ["probability"] : []), ...labels.map((label) => `p(${label})`)];
  const rows = results.map((row) => [row.id, row.answer, ...(labels.length ? [row.probability, ...labels.map((label) => row.probabilities[label])] : [])]);
  return { head, rows: rows.map((row) => row.map((cell) => (typeof cell === "number" ? cell.toFixed(4) : cell))) };
}

function showResults() {
  const { head, rows } = table();
  const numeric = (place) => (place > 1 || (place === 1 && shown.task.kind === "regression") ? { class: "number" } : {});
  byId("results").querySelector("thead").replaceChildren(element("tr", {}, ...head.map((cell, place) => element("th", { scope: "col", ...numeric(place) }, cell)), ...(shown.task.explained ? [element("th", { scope: "col" }, "why")] : [])));
  byId("results").querySelector("tbody").replaceChildren(...rows.map((row, number) => element("tr", {}, ...row.map((cell, place) => element("td", numeric(place), cell)), ...lettersButton(number))));
  hideLetters();
  byId("results").hidden = false;
  byId("download").disabled = false;
  plot();
}

// The letters that mattered, of one row.
function lettersButton(number) {
  if (!shown.task.explained) return [];
  const button = element("button", { type: "button", "aria-label": `Letters that mattered in ${shown.results[number].id}` }, "Letters");
  button.addEventListener("click", () => showLetters(number, button));
  return [element("td", {}, button)];
}

function hideLetters() {
  byId("letters").hidden = true;
  say("letters-status", "");
}

// The sequence of a row: FASTA was read by the server, so what stands between two names is one.
function sequenceOf(fasta, number) {
  return fasta.split(/^>.*$/m).slice(1)[number].replace(/\s+/g, "");
}

async function showLetters(number, button) {
  const { task, results, fasta } = shown;
  const record = { id: results[number].id, sequences: fasta.map((text) => sequenceOf(text, number)) };
  button.disabled = true;
  hideLetters();
  say("letters-status", "...");
  try {
    const told = await (await ask("/v1/explain", { task: task.name, record })).json();
    const sure = told.probability === null ? "" : ` at ${(100 * told.probability).toFixed(1)} %`;
    byId("letters").replaceChildren(
      element("h2", { id: "letters-title" }, `The letters that mattered in ${told.id}`),
      element("p", {}, `${told.answer}${sure}; ${told.output} ${told.value.toFixed(3)}. A letter above the line speaks for it, one below against it: what moves the model, not what is true.`),
      ...told.sequences.flatMap((part) => [
        element("h3", {}, part.title),
        ...Object.entries(part.logos).flatMap(([name, drawn]) => [element("p", {}, name), logo(drawn)]),
        element("p", {}, `Strongest substitutions: ${Object.entries(part.strongest).map(([change, value]) => `${change} ${value.toFixed(2)}`).join(", ") || "none"}`),
      ]));
    byId("letters").hidden = false;
    say("letters-status", "");
    byId("letters").focus();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    say("letters-status", error.message, true);
  } finally {
    button.disabled = false;
  }
}

// The one drawing that the server makes: of cleaned letters and numbers, with nothing of what was sent in it.
function logo(drawn) {
  return document.adoptNode(new DOMParser().parseFromString(drawn, "text/html").querySelector(".logo"));
}

// How many rows have which probability of the last label, or which value.
function plot() {
  const { task, results } = shown;
  const label = task.labels.at(-1);
  const values = results.map((row) => (row.probabilities ? row.probabilities[label] : row.value)).filter((value) => value !== null && value !== undefined);
  byId("plot").hidden = !values.length;
  if (!values.length) return;
  const [low, high] = results[0].probabilities ? [0, 1] : [Math.min(...values), Math.max(...values)];
  const span = high - low || 1;
  const counts = Array(MOST_BARS).fill(0);
  for (const value of values) counts[Math.min(MOST_BARS - 1, Math.floor(((value - low) / span) * MOST_BARS))] += 1;
  const most = Math.max(...counts);
  const [width, height, floor] = [600, 155, 125];
  const bars = counts.map((count, place) => {
    const tall = (count / most) * (floor - 15);
    return element("rect", { svg: "", x: String(place * (width / MOST_BARS) + 1), y: String(floor - tall), width: String(width / MOST_BARS - 2), height: String(tall) });
  });
  const mark = (x, anchor, text) => element("text", { svg: "", x: String(x), y: String(height - 8), "text-anchor": anchor }, text);
  const what = results[0].probabilities ? `p(${label})` : "value";
  const said = `${what} of ${values.length} records, from ${low.toFixed(2)} to ${high.toFixed(2)}; the tallest bar has ${most}`;
  const drawing = element("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": said },
    element("line", { svg: "", x1: "0", x2: String(width), y1: String(floor), y2: String(floor) }), ...bars,
    mark(0, "start", low.toFixed(2)), mark(width / 2, "middle", what), mark(width, "end", high.toFixed(2)));
  byId("plot").replaceChildren(element("figcaption", {}, said), drawing);
}

function download() {
  const { head, rows } = table();
  const text = [head, ...rows].map((row) => row.map((cell) => cell.replace(TSV_BREAKS, " ")).join("\t")).join("\n") + "\n";
  const link = element("a", { href: URL.createObjectURL(new Blob([text], { type: "text/tab-separated-values" })), download: `${shown.task.name}.tsv` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

// Chat.
let conversation = [];
let stopping = null;

function bubble(role, text) {
  const made = element("p", { class: role, "aria-label": role }, text);
  byId("said").append(made);
  return made;
}

async function* events(reply) {
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    rest += value;
    const parts = rest.split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      if (part.startsWith("data: ") && part !== "data: [DONE]") yield JSON.parse(part.slice(6));
    }
  }
}

async function chat() {
  const text = byId("message").value.trim();
  if (!text || stopping) return;
  conversation.push({ role: "user", content: text });
  bubble("user", text);
  byId("message").value = "";
  const answer = bubble("assistant", "");
  stopping = new AbortController();
  byId("stop").disabled = false;
  say("chat-status", "");
  try {
    const body = { model, messages: conversation, stream: true, temperature: 0 };
    for await (const event of events(await ask("/v1/chat/completions", body, stopping.signal))) {
      if (event.error) throw new Refused(event.error.message);
      answer.textContent += event.choices[0]?.delta.content ?? "";
    }
  } catch (error) {
    if (!(error instanceof Refused) && error.name !== "AbortError") throw error;
    say("chat-status", error instanceof Refused ? error.message : "stopped", error instanceof Refused);
  } finally {
    stopping = null;
    byId("stop").disabled = true;
    if (answer.textContent) conversation.push({ role: "assistant", content: answer.textContent });
    else { answer.remove(); conversation.pop(); }
    byId("message").focus();
  }
}

// The model card: Markdown as our cards have it, to elements.
function inline(text) {
  return text.split(/(`[^`]+`)/).map((part) => (/^`[^`]+`$/.test(part) ? element("code", {}, part.slice(1, -1)) : part));
}

function cells(line) {
  return line.replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());
}

function block(lines) {
  const [first] = lines;
  const heading = /^(#{1,4}) (.*)$/.exec(first);
  if (heading) return [element(`h${heading[1].length + 1}`, {}, ...inline(heading[2])), ...(lines.length > 1 ? block(lines.slice(1)) : [])];
  if (first.startsWith("|") && lines.length > 1) {
    const row = (name) => (line) => element("tr", {}, ...cells(line).map((cell) => element(name, {}, ...inline(cell))));
    return [element("div", { class: "wide" }, element("table", {}, element("thead", {}, row("th")(first)), element("tbody", {}, ...lines.slice(2).map(row("td")))))];
  }
  if (lines.every((line) => line.startsWith("- "))) return [element("ul", {}, ...lines.map((line) => element("li", {}, ...inline(line.slice(2)))))];
  return [element("p", {}, ...inline(lines.join(" ")))];
}

function showCard(markdown) {
  const body = markdown.replace(/^---\n[\s\S]*?\n---\n/, "");
  const parts = body.split(/^```\w*\n([\s\S]*?)^```$/m);
  byId("card").replaceChildren(...parts.flatMap((part, place) => place % 2
    ? [element("pre", {}, element("code", {}, part))]
    : part.split(/\n{2,}/).map((text) => text.split("\n").filter((line) => line.trim())).filter((lines) => lines.length).flatMap(block)));
}

async function start() {
  try {
    const known = await (await ask("/v1/tasks")).json();
    ({ model, tasks } = known);
    byId("key-form").hidden = true;
    byId("model").textContent = model;
    byId("task").replaceChildren(...tasks.map((task) => element("option", { value: task.name }, `${task.name} - ${task.title}`)));
    showTask();
    showCard((await (await ask("/v1/card")).json()).markdown);
    say("status", "");
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    say("status", error.message, true);
  }
}

const onSubmit = (id, action) => byId(id).addEventListener("submit", (event) => { event.preventDefault(); action(); });
onSubmit("predict-form", predict);
onSubmit("chat-form", chat);
onSubmit("key-form", () => { key = byId("key").value; start(); });
byId("task").addEventListener("change", showTask);
byId("example").addEventListener("click", example);
byId("download").addEventListener("click", download);
byId("stop").addEventListener("click", () => stopping?.abort());
byId("clear").addEventListener("click", () => { conversation = []; byId("said").replaceChildren(); say("chat-status", ""); });
byId("message").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey) { event.preventDefault(); chat(); }
});
start();
